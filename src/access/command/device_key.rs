//! `iaqverse device-key`: keys of devices.

use super::{not_changed, note, open, say, sites};
use crate::access::SensorPattern;
use crate::access::book::Change;
use crate::access::device_key::{DeviceKey, NewDeviceKey, PATTERNS_MAX, place_fault};
use crate::access::registry::Registry;
use crate::clock::{Clock, SystemClock};
use crate::config::DatabaseConfig;
use crate::domain::{PlaceName, Timestamp};
use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};

#[derive(Debug, Clone, Args)]
pub struct DeviceKeyArgs {
    #[command(subcommand)]
    pub action: DeviceKeyAction,

    #[command(flatten)]
    pub database: DatabaseConfig,
}

#[derive(Debug, Clone, Subcommand)]
pub enum DeviceKeyAction {
    /// Make a key and print it; it is shown only now
    Add {
        /// Sensors it writes for, with * for any run of characters
        #[arg(required = true, value_name = "SENSOR")]
        sensors: Vec<String>,
        /// What the key is for
        #[arg(long, default_value = "")]
        label: String,
        /// Restrict to this site; may be given several times
        #[arg(long = "site", value_name = "SITE")]
        sites: Vec<String>,
        /// Site of every reading, whatever the device says
        #[arg(long, requires = "salle")]
        enseigne: Option<String>,
        /// Room of every reading
        #[arg(long, requires = "enseigne")]
        salle: Option<String>,
    },
    /// List the keys by id, without their secrets
    List,
    /// Make a key worth nothing
    Revoke { id: String },
}

/// Does what the command line says.
pub async fn command(arguments: DeviceKeyArgs) -> anyhow::Result<()> {
    let registry = open(&arguments.database).await?;
    let result = run(&registry, arguments.action).await;
    registry.close().await;
    result
}

async fn run(registry: &Registry, action: DeviceKeyAction) -> anyhow::Result<()> {
    match action {
        DeviceKeyAction::Add {
            sensors,
            label,
            sites: names,
            enseigne,
            salle,
        } => {
            let pattern = |text: &String| {
                SensorPattern::parse(text)
                    .with_context(|| format!("{text:?} is no sensor id, with or without *"))
            };
            ensure!(
                sensors.len() <= PATTERNS_MAX,
                "a key may be for {PATTERNS_MAX} sensors or patterns"
            );
            let sites = sites(&names)?;
            if let Some(fault) = enseigne.as_ref().and_then(|site| place_fault(site, &sites)) {
                bail!("--enseigne {fault}");
            }
            for name in [&enseigne, &salle].into_iter().flatten() {
                PlaceName::parse(name).with_context(|| format!("{name:?}"))?;
            }
            let (id, key, text) = DeviceKey::create(NewDeviceKey {
                label,
                sensors: sensors.iter().map(pattern).collect::<Result<_, _>>()?,
                sites,
                place: enseigne.zip(salle),
                created_by: "command line".to_owned(),
                created_ms: SystemClock.now().millis(),
            });
            let added = registry.change(|_| {
                let mut change = Change::default();
                change.put_key(id.clone(), key.clone());
                Ok((change, ()))
            });
            added.await.map_err(not_changed)?;
            say(&text);
            note(&format!("added {id}; the key is shown only now"));
        }
        DeviceKeyAction::List => list(registry),
        DeviceKeyAction::Revoke { id } => {
            let revoked = registry.change(|book| {
                ensure!(book.keys.contains_key(&id), "there is no key {id}");
                let mut change = Change::default();
                change.remove_key(&id);
                Ok((change, ()))
            });
            revoked.await.map_err(not_changed)?;
            note(&format!("revoked {id}"));
        }
    }
    Ok(())
}

fn list(registry: &Registry) {
    let mut keys: Vec<_> = registry.book(|book| {
        let keys = book.keys.iter();
        keys.map(|(id, entry)| (id.clone(), entry.clone()))
            .collect()
    });
    keys.sort_by_key(|(_, entry)| entry.key.created_ms);
    for (id, entry) in keys {
        let sensors: Vec<_> = entry
            .key
            .sensors
            .iter()
            .map(SensorPattern::as_str)
            .collect();
        let last = entry.used_ms().map_or("never".to_owned(), |at| {
            Timestamp::from_millis(at).to_string()
        });
        let (label, sensors) = (&entry.key.label, sensors.join(", "));
        say(&format!("{id}\t{sensors}\t{label}\tlast used {last}"));
    }
}
