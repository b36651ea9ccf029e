//! `iaqverse room`: rooms listed, renamed, merged and removed.

use super::sensor::place_name;
use super::{Readings, change, read, report, say};
use crate::config::StoreConfig;
use crate::domain::{Place, PlaceName};
use crate::store::{Directory, NewName, RegistryChange};
use clap::{Args, Subcommand};

#[derive(Debug, Clone, Args)]
pub struct RoomArgs {
    #[command(subcommand)]
    pub action: RoomAction,

    #[command(flatten)]
    pub store: StoreConfig,
}

#[derive(Debug, Clone, Subcommand)]
pub enum RoomAction {
    /// Show every room, also while the server runs
    List,
    /// Give a room another name, with all its history; when there is a room of that name, they become one
    Rename {
        #[command(flatten)]
        room: Named,

        /// Site that it is at from then on; without it, its own
        #[arg(long, value_name = "NAME", value_parser = place_name)]
        to_enseigne: Option<PlaceName>,

        /// Name of the room from then on; without it, its own
        #[arg(long, value_name = "NAME", value_parser = place_name)]
        to_salle: Option<PlaceName>,
    },
    /// Remove a room in which no sensor stands
    Remove {
        #[command(flatten)]
        room: Named,

        /// What becomes of the readings that were taken there
        #[arg(long, default_value = "keep")]
        readings: Readings,
    },
}

#[derive(Debug, Clone, Args)]
pub struct Named {
    /// Site
    #[arg(long, value_name = "NAME", value_parser = place_name)]
    enseigne: PlaceName,

    /// Room
    #[arg(long, value_name = "NAME", value_parser = place_name)]
    salle: PlaceName,
}

impl From<Named> for Place {
    fn from(named: Named) -> Self {
        Self {
            site: named.enseigne,
            room: named.salle,
        }
    }
}

/// Does what the command line says.
pub(crate) async fn command(arguments: RoomArgs) -> anyhow::Result<()> {
    let wanted = match arguments.action {
        RoomAction::List => return read(&arguments.store, list).await,
        RoomAction::Rename {
            room,
            to_enseigne,
            to_salle,
        } => {
            anyhow::ensure!(
                to_enseigne.is_some() || to_salle.is_some(),
                "--to-enseigne or --to-salle: say what it is called from then on"
            );
            let from = Place::from(room);
            let to = NewName {
                site: to_enseigne,
                room: to_salle,
            };
            RegistryChange::MoveRoom { from, to }
        }
        RoomAction::Remove { room, readings } => RegistryChange::RemoveRoom {
            place: room.into(),
            readings: readings.into(),
        },
    };
    report(&change(&arguments.store, wanted).await?);
    Ok(())
}

fn list(directory: &Directory) {
    let rooms = directory.rooms().map(|(_, place)| place);
    let mut lines: Vec<_> = rooms
        .map(|place| format!("{}\t{}", place.site.as_str(), place.room.as_str()))
        .collect();
    lines.sort();
    lines.dedup();
    say(&lines);
}
