//! `iaqverse sensor`: sensors listed, renamed, moved, merged and removed.

use super::{Readings, change, read, report, say};
use crate::commands::transfer::export::timestamp;
use crate::config::StoreConfig;
use crate::domain::{PlaceName, SensorId, Timestamp};
use crate::store::{Directory, RegistryChange, SensorEdit};
use clap::{Args, Subcommand};

#[derive(Debug, Clone, Args)]
pub struct SensorArgs {
    #[command(subcommand)]
    pub action: SensorAction,

    #[command(flatten)]
    pub store: StoreConfig,
}

#[derive(Debug, Clone, Subcommand)]
pub enum SensorAction {
    /// Show every sensor with its room, also while the server runs
    List,
    /// Give a sensor another id; the one of before goes on leading to it
    Rename {
        #[arg(value_parser = id)]
        id: SensorId,
        #[arg(value_parser = id)]
        new_id: SensorId,
    },
    /// Say where a sensor stands; what room its readings name is ignored from then on
    Move {
        #[arg(value_parser = id)]
        id: SensorId,

        /// Site; without it, its own
        #[arg(long, value_name = "NAME", value_parser = place_name)]
        enseigne: Option<PlaceName>,

        /// Room
        #[arg(long, value_name = "NAME", value_parser = place_name)]
        salle: PlaceName,

        /// Time, RFC 3339, from when on it has stood there: readings since then are moved as well
        #[arg(long, value_name = "TIME", value_parser = timestamp)]
        since: Option<Timestamp>,
    },
    /// Let the readings of a sensor say again where it stands
    Unpin {
        #[arg(value_parser = id)]
        id: SensorId,
    },
    /// Make all readings of a sensor those of another; its id leads there from then on
    Merge {
        #[arg(value_parser = id)]
        id: SensorId,

        /// The sensor that has all readings then
        #[arg(long, value_name = "ID", value_parser = id)]
        into: SensorId,
    },
    /// Remove a sensor
    Remove {
        #[arg(value_parser = id)]
        id: SensorId,

        /// What becomes of its readings
        #[arg(long, default_value = "keep")]
        readings: Readings,
    },
}

fn id(text: &str) -> Result<SensorId, String> {
    SensorId::parse(text).map_err(|error| error.to_string())
}

pub(super) fn place_name(text: &str) -> Result<PlaceName, String> {
    PlaceName::parse(text).map_err(|error| error.to_string())
}

/// Does what the command line says.
pub(crate) async fn command(arguments: SensorArgs) -> anyhow::Result<()> {
    let edited = |id, edit| RegistryChange::EditSensor { id, edit };
    let wanted = match arguments.action {
        SensorAction::List => return read(&arguments.store, list).await,
        SensorAction::Rename { id, new_id } => edited(
            id,
            SensorEdit {
                id: Some(new_id),
                ..SensorEdit::default()
            },
        ),
        SensorAction::Move {
            id,
            enseigne,
            salle,
            since,
        } => edited(
            id,
            SensorEdit {
                site: enseigne,
                room: Some(salle),
                since,
                ..SensorEdit::default()
            },
        ),
        SensorAction::Unpin { id } => edited(
            id,
            SensorEdit {
                is_pinned: Some(false),
                ..SensorEdit::default()
            },
        ),
        SensorAction::Merge { id, into } => RegistryChange::MergeSensors { from: id, into },
        SensorAction::Remove { id, readings } => RegistryChange::RemoveSensor {
            id,
            readings: readings.into(),
        },
    };
    report(&change(&arguments.store, wanted).await?);
    Ok(())
}

fn list(directory: &Directory) {
    let mut lines: Vec<_> = directory
        .sensors()
        .map(|entry| {
            let place = directory.place(entry.stands_in());
            let place = place.unwrap_or(&entry.latest.place);
            let aliases = directory.sensor_aliases_of(entry.key);
            let aliases: Vec<_> = aliases.map(SensorId::as_str).collect();
            let pinned = if entry.settings().pin.is_some() {
                "pinned"
            } else {
                ""
            };
            let (site, room) = (place.site.as_str(), place.room.as_str());
            let fields = [entry.id().as_str(), site, room, pinned, &aliases.join(" ")];
            fields.join("\t").trim_end().to_owned()
        })
        .collect();
    lines.sort();
    say(&lines);
}
