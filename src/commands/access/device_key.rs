//! `iaqverse device-key`: keys of devices.

use super::{not_changed, note, open, say, sites};
use crate::access::SensorPattern;
use crate::access::book::Change;
use crate::access::device_key::{DeviceKey, NewDeviceKey, label_fault, place_fault, sensors_fault};
use crate::access::device_keys;
use crate::access::registry::Registry;
use crate::clock::{Clock, SystemClock};
use crate::config::DatabaseConfig;
use crate::domain::{PlaceName, Sites, Timestamp};
use anyhow::{Context, anyhow, bail};
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
pub(crate) async fn command(arguments: DeviceKeyArgs) -> anyhow::Result<()> {
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
            let place = (enseigne.as_deref(), salle.as_deref());
            let new = new_key(&sensors, label, &names, place)?;
            let (id, key, text) = DeviceKey::create(new);
            let added = registry.change(|book| {
                let mut change = Change::default();
                device_keys::add(book, &mut change, &id, &key)?;
                Ok((change, ()))
            });
            added.await.map_err(not_changed)?;
            say(&text);
            note(&format!("added {id}; the key is shown only now"));
        }
        DeviceKeyAction::List => list(registry),
        DeviceKeyAction::Revoke { id } => {
            let revoked = registry.change(|book| {
                let change = device_keys::remove(book, &id, &Sites::ALL);
                Ok((
                    change.with_context(|| format!("ID: there is no key {id}"))?,
                    (),
                ))
            });
            revoked.await.map_err(not_changed)?;
            note(&format!("revoked {id}"));
        }
    }
    Ok(())
}

/// What the key is asked to be for, within what a key can be for.
fn new_key(
    sensors: &[String],
    label: String,
    site_names: &[String],
    (enseigne, salle): (Option<&str>, Option<&str>),
) -> anyhow::Result<NewDeviceKey> {
    if let Some(fault) = sensors_fault(sensors.len()) {
        bail!("SENSOR: {fault}");
    }
    let pattern = |text: &String| {
        SensorPattern::parse(text)
            .with_context(|| format!("SENSOR {text:?}: {}", SensorPattern::FAULT))
    };
    let sensors = sensors.iter().map(pattern).collect::<Result<_, _>>()?;
    if let Some(fault) = label_fault(&label) {
        bail!("--label: {fault}");
    }
    let sites = sites(site_names)?;
    let enseigne = name("--enseigne", enseigne)?;
    let salle = name("--salle", salle)?;
    if let Some(fault) = enseigne.as_ref().and_then(|site| place_fault(site, &sites)) {
        bail!("--enseigne: {fault}");
    }
    Ok(NewDeviceKey {
        label,
        sensors,
        sites,
        place: enseigne.zip(salle),
        created_by: "command line".to_owned(),
        created_ms: SystemClock.now().millis(),
    })
}

/// The name of a site or room that a flag gives.
fn name(flag: &str, text: Option<&str>) -> anyhow::Result<Option<String>> {
    let name = text.map(PlaceName::parse).transpose();
    let name = name.map_err(|fault| anyhow!("{flag}: {fault}"))?;
    Ok(name.map(|name| name.as_str().to_owned()))
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
