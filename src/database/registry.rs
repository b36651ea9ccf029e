//! What sensors and rooms are called, what people said of them, and which of them are no more.
//!
//! The statements are the same in both databases, and few rows are changed at a time. Each of them can
//! be done again without changing anything, so that a change whose answer was lost is simply repeated.

use super::{RoomKey, RoomRow, SensorKey, SensorRow, StoreError};
use crate::domain::SensorId;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

/// A room or sensor that is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Former<K> {
    pub key: K,
    /// To which its readings belong; `None` when they are gone.
    pub into: Option<K>,
    /// Chunks still say otherwise, and its row is still there.
    pub is_pending: bool,
}

/// What is kept of sensors and rooms besides their rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryRows {
    /// Names that lead to a room besides its own.
    pub room_aliases: Vec<RoomRow>,
    /// Ids that lead to a sensor besides its own.
    pub sensor_aliases: Vec<(SensorId, SensorKey)>,
    /// What people said of sensors, as JSON.
    pub settings: Vec<(SensorKey, String)>,
    /// Sensors that are shown nowhere though their readings are kept.
    pub removed: Vec<SensorKey>,
    pub former_rooms: Vec<Former<RoomKey>>,
    pub former_sensors: Vec<Former<SensorKey>>,
}

/// A change of the sensors and rooms there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegistryPatch {
    /// Names, of a site and a room, that lead nowhere any more.
    pub freed_rooms: Vec<(Box<str>, Box<str>)>,
    pub freed_sensors: Vec<SensorId>,
    /// Rooms that are new or called otherwise.
    pub rooms: Vec<RoomRow>,
    /// Sensors that are called otherwise.
    pub sensor_ids: Vec<(SensorKey, SensorId)>,
    /// Sensors that now are known to have been in a room.
    pub sensor_rooms: Vec<(SensorKey, RoomKey)>,
    /// What is added, or takes the place of what was there.
    pub rows: RegistryRows,
    /// Sensors as they are now.
    pub sensors: Vec<SensorRow>,
    /// Rooms and sensors whose rows go. Nothing leads to them any more.
    pub gone_rooms: Vec<RoomKey>,
    pub gone_sensors: Vec<SensorKey>,
}

/// The same statements on the connection of either database.
macro_rules! statements {
    ($module:ident, $connection:ty) => {
        pub(super) mod $module {
            use super::*;

            /// Puts what is new, in the transaction of the caller; but for the sensors as they are now.
            pub(in crate::database) async fn patch(
                connection: &mut $connection,
                patch: &RegistryPatch,
            ) -> Result<(), StoreError> {
                // First: a name may be given to something else by the same change.
                free_names(connection, patch).await?;
                put_former(connection, &patch.rows).await?;
                put_places(connection, patch).await?;
                put_rows(connection, &patch.rows).await
            }

            async fn free_names(
                connection: &mut $connection,
                patch: &RegistryPatch,
            ) -> Result<(), StoreError> {
                for (site, room) in &patch.freed_rooms {
                    let freed =
                        sqlx::query("delete from room_aliases where site = $1 and room = $2");
                    let freed = freed.bind(&**site).bind(&**room);
                    freed.execute(&mut *connection).await?;
                }
                for id in &patch.freed_sensors {
                    let freed = sqlx::query("delete from sensor_aliases where sensor_id = $1");
                    freed.bind(id.as_str()).execute(&mut *connection).await?;
                }
                Ok(())
            }

            /// Whatever is still to be done for them, their own names are free from now on.
            async fn put_former(
                connection: &mut $connection,
                rows: &RegistryRows,
            ) -> Result<(), StoreError> {
                for former in &rows.former_rooms {
                    let (key, into) = (former.key.0, former.into.map(|into| into.0));
                    let put = sqlx::query(PUT_FORMER_ROOM).bind(key).bind(into);
                    let put = put.bind(i64::from(former.is_pending));
                    put.execute(&mut *connection).await?;
                    let lead_on = sqlx::query(LEAD_ON_ROOMS).bind(key).bind(into);
                    lead_on.execute(&mut *connection).await?;
                    let free = sqlx::query(FREE_ROOM).bind(key);
                    let free = free.bind(format!("{NO_NAME}{key}{NO_NAME}"));
                    free.execute(&mut *connection).await?;
                }
                for former in &rows.former_sensors {
                    let (key, into) = (former.key.0, former.into.map(|into| into.0));
                    let put = sqlx::query(PUT_FORMER_SENSOR).bind(key).bind(into);
                    let put = put.bind(i64::from(former.is_pending));
                    put.execute(&mut *connection).await?;
                    let lead_on = sqlx::query(LEAD_ON_SENSORS).bind(key).bind(into);
                    lead_on.execute(&mut *connection).await?;
                    let free = sqlx::query(PUT_SENSOR_ID).bind(key);
                    let free = free.bind(format!("{NO_NAME}{key}"));
                    free.execute(&mut *connection).await?;
                }
                Ok(())
            }

            async fn put_places(
                connection: &mut $connection,
                patch: &RegistryPatch,
            ) -> Result<(), StoreError> {
                for room in &patch.rooms {
                    let site = sqlx::query(PUT_SITE).bind(&*room.site);
                    site.execute(&mut *connection).await?;
                    let put = sqlx::query(PUT_ROOM).bind(room.key.0);
                    let put = put.bind(&*room.site).bind(&*room.room);
                    put.execute(&mut *connection).await?;
                }
                for (key, id) in &patch.sensor_ids {
                    let put = sqlx::query(PUT_SENSOR_ID).bind(key.0).bind(id.as_str());
                    put.execute(&mut *connection).await?;
                }
                for (sensor, room) in &patch.sensor_rooms {
                    let put = sqlx::query(PUT_SENSOR_ROOM).bind(sensor.0).bind(room.0);
                    put.execute(&mut *connection).await?;
                }
                Ok(())
            }

            async fn put_rows(
                connection: &mut $connection,
                rows: &RegistryRows,
            ) -> Result<(), StoreError> {
                for alias in &rows.room_aliases {
                    let put = sqlx::query(PUT_ROOM_ALIAS).bind(&*alias.site);
                    let put = put.bind(&*alias.room).bind(alias.key.0);
                    put.execute(&mut *connection).await?;
                }
                for (id, key) in &rows.sensor_aliases {
                    let put = sqlx::query(PUT_SENSOR_ALIAS).bind(id.as_str()).bind(key.0);
                    put.execute(&mut *connection).await?;
                }
                for (key, settings) in &rows.settings {
                    let put = sqlx::query("update sensors set settings = $2 where key = $1");
                    let put = put.bind(key.0).bind(settings.as_str());
                    put.execute(&mut *connection).await?;
                }
                for key in &rows.removed {
                    let put = sqlx::query("update sensors set removed = 1 where key = $1");
                    put.bind(key.0).execute(&mut *connection).await?;
                }
                Ok(())
            }

            /// Takes out what is gone, in the transaction of the caller and after everything else.
            pub(in crate::database) async fn forget(
                connection: &mut $connection,
                patch: &RegistryPatch,
            ) -> Result<(), StoreError> {
                let rooms = patch.gone_rooms.iter().map(|key| (REMOVE_ROOM, key.0));
                let sensors = patch.gone_sensors.iter().map(|key| (REMOVE_SENSOR, key.0));
                for (statements, key) in rooms.chain(sensors) {
                    for statement in statements {
                        let remove = sqlx::query(*statement).bind(key);
                        remove.execute(&mut *connection).await?;
                    }
                }
                Ok(())
            }

            /// In the transaction of the caller.
            pub(in crate::database) async fn load(
                connection: &mut $connection,
            ) -> Result<RegistryColumns, StoreError> {
                Ok(RegistryColumns {
                    room_aliases: sqlx::query_as(ROOM_ALIASES)
                        .fetch_all(&mut *connection)
                        .await?,
                    sensor_aliases: sqlx::query_as(SENSOR_ALIASES)
                        .fetch_all(&mut *connection)
                        .await?,
                    settings: sqlx::query_as(SETTINGS).fetch_all(&mut *connection).await?,
                    former_rooms: sqlx::query_as(FORMER_ROOMS)
                        .fetch_all(&mut *connection)
                        .await?,
                    former_sensors: sqlx::query_as(FORMER_SENSORS)
                        .fetch_all(&mut *connection)
                        .await?,
                })
            }
        }
    };
}

statements!(sqlite, SqliteConnection);
statements!(postgres, PgConnection);

/// With what the name in the row of a room or sensor begins that is no more: no name has it. Behind it
/// and the key a room has its name of before, for as long as readings are shown under it.
const NO_NAME: char = '\u{1}';

/// The name that a room had which is no more; `None` for the name of any other.
pub(super) fn name_of_before(name: &str) -> Option<&str> {
    name.strip_prefix(NO_NAME)?
        .split_once(NO_NAME)
        .map(|(_, name)| name)
}

const FREE_ROOM: &str = "update rooms set name = $2 || name
    where key = $1 and name not like $2 || '%'";

const PUT_SITE: &str = "insert into sites (name) values ($1) on conflict (name) do nothing";
const PUT_SENSOR_ID: &str = "update sensors set sensor_id = $2 where key = $1";
const PUT_ROOM: &str = "insert into rooms (key, site_key, name)
    values ($1, (select key from sites where name = $2), $3)
    on conflict (key) do update set site_key = excluded.site_key, name = excluded.name";
const PUT_SENSOR_ROOM: &str = "insert into sensor_rooms (sensor_key, room_key) values ($1, $2)
    on conflict (sensor_key, room_key) do nothing";
const PUT_ROOM_ALIAS: &str = "insert into room_aliases (site, room, room_key) values ($1, $2, $3)
    on conflict (site, room) do update set room_key = excluded.room_key";
const PUT_SENSOR_ALIAS: &str = "insert into sensor_aliases (sensor_id, sensor_key) values ($1, $2)
    on conflict (sensor_id) do update set sensor_key = excluded.sensor_key";
const PUT_FORMER_ROOM: &str = "insert into former_rooms (key, into_key, pending)
    values ($1, $2, $3)
    on conflict (key) do update set into_key = excluded.into_key, pending = excluded.pending";
const PUT_FORMER_SENSOR: &str = "insert into former_sensors (key, into_key, pending)
    values ($1, $2, $3)
    on conflict (key) do update set into_key = excluded.into_key, pending = excluded.pending";
const LEAD_ON_ROOMS: &str = "update former_rooms set into_key = $2 where into_key = $1";
const LEAD_ON_SENSORS: &str = "update former_sensors set into_key = $2 where into_key = $1";
const REMOVE_ROOM: &[&str] = &[
    "delete from room_aliases where room_key = $1",
    "delete from sensor_rooms where room_key = $1",
    "delete from rooms where key = $1",
];
const REMOVE_SENSOR: &[&str] = &[
    "delete from sensor_aliases where sensor_key = $1",
    "delete from sensor_rooms where sensor_key = $1",
    "delete from sensors where key = $1",
];

const ROOM_ALIASES: &str = "select room_key, site, room from room_aliases order by site, room";
const SENSOR_ALIASES: &str = "select sensor_id, sensor_key from sensor_aliases order by sensor_id";
const SETTINGS: &str = "select key, settings, removed from sensors
    where settings is not null or removed <> 0 order by key";
const FORMER_ROOMS: &str = "select key, into_key, pending from former_rooms order by key";
const FORMER_SENSORS: &str = "select key, into_key, pending from former_sensors order by key";

/// The rows as either database has them.
#[derive(Debug, Default)]
pub(super) struct RegistryColumns {
    room_aliases: Vec<(i64, String, String)>,
    sensor_aliases: Vec<(String, i64)>,
    settings: Vec<(i64, Option<String>, i64)>,
    former_rooms: Vec<(i64, Option<i64>, i64)>,
    former_sensors: Vec<(i64, Option<i64>, i64)>,
}

impl RegistryColumns {
    pub(super) fn decoded(self) -> Result<RegistryRows, StoreError> {
        let aliases = self
            .room_aliases
            .into_iter()
            .map(|(key, site, room)| RoomRow {
                key: RoomKey(key),
                site: site.into(),
                room: room.into(),
            });
        let ids = self.sensor_aliases.into_iter().map(|(id, key)| {
            let parsed = SensorId::parse(&id).map_err(|error| {
                super::decode::corrupt("sensor_aliases", format!("{id:?} {error}"))
            })?;
            Ok((parsed, SensorKey(key)))
        });
        let removed = self.settings.iter().filter(|(_, _, removed)| *removed != 0);
        Ok(RegistryRows {
            room_aliases: aliases.collect(),
            sensor_aliases: ids.collect::<Result<_, StoreError>>()?,
            removed: removed.map(|(key, ..)| SensorKey(*key)).collect(),
            settings: self
                .settings
                .into_iter()
                .filter_map(|(key, settings, _)| Some((SensorKey(key), settings?)))
                .collect(),
            former_rooms: formers(self.former_rooms, RoomKey),
            former_sensors: formers(self.former_sensors, SensorKey),
        })
    }
}

fn formers<K>(rows: Vec<(i64, Option<i64>, i64)>, key: impl Fn(i64) -> K) -> Vec<Former<K>> {
    let former = |(former, into, pending): (i64, Option<i64>, i64)| Former {
        key: key(former),
        into: into.map(&key),
        is_pending: pending != 0,
    };
    rows.into_iter().map(former).collect()
}
