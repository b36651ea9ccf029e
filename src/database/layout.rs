//! Whether the tables of a database are those of this version.

use super::{OpenMode, StoreError};
use sqlx::migrate::Migrator;

/// A migration as the database remembers it.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Applied {
    pub(super) version: i64,
    pub(super) success: bool,
    pub(super) checksum: Vec<u8>,
}

/// The same text for both databases.
pub(super) const SELECT_APPLIED: &str =
    "select version, success, checksum from _sqlx_migrations order by version";

/// Tables that every version of this product had. A database that has them and is not in order is
/// one of an early version, not that of another program.
pub(super) const EARLY_TABLES: [&str; 2] = ["_sqlx_migrations", "stream_epochs"];

/// Tables of this version, each with the migration that makes it.
pub(super) const TABLES: [(&str, i64); 14] = [
    ("sites", 1),
    ("rooms", 1),
    ("sensors", 1),
    ("sensor_rooms", 1),
    ("log", 1),
    ("chunks", 1),
    ("stream_epochs", 1),
    ("marks", 1),
    ("documents", 2),
    ("document_versions", 4),
    ("room_aliases", 6),
    ("sensor_aliases", 6),
    ("former_rooms", 6),
    ("former_sensors", 6),
];

/// Refuses the database `name` unless what was done to it is the beginning of what is known, and for a
/// reader all of it.
pub(super) fn require_known(
    name: &str,
    applied: &[Applied],
    known: &Migrator,
    mode: OpenMode,
) -> Result<(), StoreError> {
    let refuse = |why: String| Err(StoreError::Unusable(format!("{name} {why}")));
    let known_max = known.iter().map(|migration| migration.version).max();
    let known_max = known_max.unwrap_or(0);
    for Applied {
        version,
        success,
        checksum,
    } in applied
    {
        let migration = known.iter().find(|migration| migration.version == *version);
        match migration {
            Some(_) if !success => {
                return refuse(format!("stopped half-way in migration {version}"));
            }
            Some(migration) if *migration.checksum == **checksum => {}
            None if *version > known_max => {
                return refuse(format!(
                    "was written by a newer version of IAQverse: it has migration {version}, \
                    and this version knows those up to {known_max}"
                ));
            }
            _ => return refuse(early()),
        }
    }
    if mode == OpenMode::Reader && applied.len() < known.iter().count() {
        return refuse("has not been brought up to date yet: start the server on it once".into());
    }
    Ok(())
}

/// What a database of an early version is refused with, behind its name.
pub(super) fn early() -> String {
    "was written by an unreleased version of IAQverse and cannot be read by this one: \
    move it away or name another database"
        .into()
}
