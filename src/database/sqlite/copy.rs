//! Writes a backup under a temporary name and renames it when it is complete.

use super::write::{self, json};
use super::{claim, documents, migrate};
use crate::database::{
    Batch, Chunk, DamagedSensor, Document, Loaded, Marks, RegistryPatch, RoomKey, SensorKey,
    SensorRow, Series, StoreError,
};
use crate::domain::SensorId;
use crate::private_files;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use std::path::{Path, PathBuf};

/// A file that gets its name when it is complete and on the disk; until then it has another, and it
/// is removed unless it comes that far.
#[derive(Debug)]
pub(in crate::database) struct NewFile {
    to: PathBuf,
    partial: PathBuf,
}

impl NewFile {
    /// Refuses a name that is taken.
    pub(in crate::database) fn new(to: &Path) -> Result<Self, StoreError> {
        let to =
            std::path::absolute(to).map_err(StoreError::file(format!("write {}", to.display())))?;
        let suffix = format!(".{:016x}.partial", rand::random::<u64>());
        let partial = super::beside(&to, &suffix);
        let file = Self { to, partial };
        file.require_free()?;
        // Before SQLite does it, which would ask the umask who may read it.
        let mut options = private_files::options();
        let created = options.write(true).create_new(true).open(&file.partial);
        created.map_err(StoreError::file(format!("write {}", file.to.display())))?;
        Ok(file)
    }

    /// Where it is until it is complete. SQLite takes no other names than those in UTF-8.
    pub(in crate::database) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Makes it durable under its name.
    pub(in crate::database) async fn complete(self) -> Result<(), StoreError> {
        let done = tokio::task::spawn_blocking(move || {
            let action = || format!("write {}", self.to.display());
            let file = std::fs::File::open(&self.partial);
            file.and_then(|file| file.sync_all())
                .map_err(StoreError::file(action()))?;
            self.require_free()?;
            std::fs::rename(&self.partial, &self.to).map_err(StoreError::file(action()))?;
            // The name is in the folder, which is on the disk only after this.
            let folder = self.to.parent().unwrap_or(Path::new("/"));
            std::fs::File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(StoreError::file(action()))
        });
        done.await
            .map_err(|error| StoreError::file("write the copy")(std::io::Error::other(error)))?
    }

    fn require_free(&self) -> Result<(), StoreError> {
        if self.to.symlink_metadata().is_ok() {
            return Err(StoreError::Unusable(format!(
                "{} is there already",
                self.to.display()
            )));
        }
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // There is none when it was not begun, or is complete.
        if let Err(error) = std::fs::remove_file(&self.partial) {
            tracing::debug!(%error, "no incomplete copy to remove");
        }
    }
}

/// A new database that is filled in one transaction.
#[derive(Debug)]
pub(in crate::database) struct Copy {
    connection: SqliteConnection,
}

impl Copy {
    pub(in crate::database) async fn begin(path: &Path) -> Result<Self, StoreError> {
        // An incomplete file is thrown away, so nothing of it need be durable on the way.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .foreign_keys(true)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        claim(&mut connection).await?;
        migrate(&mut connection).await?;
        write::begin(&mut connection).await?;
        Ok(Self { connection })
    }

    /// Everything of `loaded` but the log.
    pub(in crate::database) async fn put(
        &mut self,
        loaded: &Loaded,
        epochs: &[(i64, i64)],
    ) -> Result<(), StoreError> {
        let connection = &mut self.connection;
        let new = |sensor: &SensorRow| (sensor.key, sensor.id.clone(), sensor.room);
        let sensors: Vec<(SensorKey, SensorId, RoomKey)> = loaded.sensors.iter().map(new).collect();
        write::add_places(connection, &loaded.rooms, &sensors, &[]).await?;
        for sensor in &loaded.damaged {
            put_damaged(connection, sensor).await?;
        }
        write::add_places(connection, &[], &[], &loaded.sensor_rooms).await?;
        let patch = RegistryPatch {
            rows: loaded.registry.clone(),
            sensors: loaded.sensors.clone(),
            ..RegistryPatch::default()
        };
        write::put_registry(connection, &patch).await?;
        let Marks {
            settled_to,
            trimmed_to,
            removed_to,
            clock,
            ..
        } = loaded.marks;
        sqlx::query(
            "update marks set settled_to = $1, trimmed_to = $2, removed_to_ms = $3 where key = 1",
        )
        .bind(settled_to.to_i64())
        .bind(trimmed_to.to_i64())
        .bind(removed_to.millis())
        .execute(&mut *connection)
        .await?;
        if let Some(clock) = clock {
            write::put_clock(connection, clock, None).await?;
        }
        sqlx::query(
            "insert into stream_epochs (epoch, started_ms)
            select value ->> 0, value ->> 1 from json_each($1)",
        )
        .bind(json(&epochs)?)
        .execute(&mut *connection)
        .await?;
        Ok(())
    }

    pub(in crate::database) async fn put_documents(
        &mut self,
        versions: &[(String, i64)],
        all: &[Document],
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into document_versions (kind, version)
            select value ->> 0, value ->> 1 from json_each($1)",
        )
        .bind(json(&versions)?)
        .execute(&mut self.connection)
        .await?;
        documents::put(&mut self.connection, all).await
    }

    pub(in crate::database) async fn put_log(
        &mut self,
        batches: &[Batch],
    ) -> Result<(), StoreError> {
        for batch in batches {
            write::append(&mut self.connection, Some(batch)).await?;
        }
        Ok(())
    }

    pub(in crate::database) async fn put_chunks(
        &mut self,
        chunks: &[(Series, Chunk)],
    ) -> Result<(), StoreError> {
        write::insert_chunks(&mut self.connection, chunks).await
    }

    pub(in crate::database) async fn end(mut self) -> Result<(), StoreError> {
        write::end(&mut self.connection).await?;
        self.connection.close().await?;
        Ok(())
    }
}

/// Copies a row as it is: who opens the copy may know what to do with it.
async fn put_damaged(
    connection: &mut SqliteConnection,
    sensor: &DamagedSensor,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into sensors
            (key, sensor_id, room_key, reading_count, first_ms, latest, newest_ms, state)
        values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(sensor.key.0)
    .bind(&sensor.id)
    .bind(sensor.room.0)
    .bind(sensor.reading_count)
    .bind(sensor.first_ms)
    .bind(&sensor.latest)
    .bind(sensor.newest_ms)
    .bind(&sensor.state)
    .execute(connection)
    .await?;
    Ok(())
}
