//! The models there are: records in the database, files in the folder.
//!
//! A file is durable before its record, and a record is gone before its file. So whatever interrupts
//! a change leaves a file without a record at worst, which the next start removes. One server owns
//! the folder, and no other changes these records.

use super::book::Book;
use super::folder::{Folder, FolderError};
use super::id::ModelId;
use super::incoming::{Incoming, Received, UploadError};
use super::model::{KIND, Model};
use super::space::Space;
use crate::database::{Certainty, DocumentChange, DocumentDatabase, StoreError};
use crate::domain::{Place, Timestamp};
use parking_lot::RwLock;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit, Semaphore};

/// Most models there can be: all are in memory.
pub(super) const MODELS_MAX: usize = 20_000;
/// Uploads at the same time.
const UPLOADS_MAX: usize = 2;

/// How much may be uploaded.
#[derive(Debug, Clone, Copy)]
pub struct ModelLimits {
    /// Largest file.
    pub bytes_max: u64,
    /// All files together.
    pub all_bytes_max: u64,
    /// Longest time for an upload to arrive.
    pub timeout: Duration,
}

/// The models of a server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Models(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    database: Arc<dyn DocumentDatabase>,
    folder: Folder,
    limits: ModelLimits,
    space: Space,
    uploads: Arc<Semaphore>,
    book: RwLock<Book>,
    /// Held while a change is written.
    changing: Mutex<Certainty>,
}

/// Why a server cannot start with its models.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    #[error("IAQ_MODELS_DIR")]
    Folder(#[from] FolderError),
    #[error("IAQ_MODELS_DIR: {} cannot be tidied", .0.display())]
    Sweep(PathBuf, #[source] io::Error),
    #[error("DATABASE_URL: the models cannot be read")]
    Store(#[from] StoreError),
}

/// Why a model is not added or removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ModelChangeError {
    #[error("there are too many models")]
    TooMany,
    #[error("there is no such model")]
    Missing,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file could not be written")]
    File(#[from] io::Error),
}

impl Models {
    /// Reads the records and tidies the folder.
    pub async fn open(
        database: Arc<dyn DocumentDatabase>,
        folder: &Path,
        limits: ModelLimits,
    ) -> Result<Self, ModelsError> {
        let book = Book::read(&database.load().await?)?;
        let ids = book.ids();
        let opened = Folder::open(folder)?;
        let swept = opened.sweep(&ids);
        let swept = swept.map_err(|error| ModelsError::Sweep(folder.to_owned(), error))?;
        if swept > 0 {
            tracing::info!(files = swept, "files of unfinished uploads were removed");
        }
        for model in book.iter() {
            let metadata = std::fs::metadata(opened.path_of(model.id));
            if !metadata.is_ok_and(|file| file.is_file() && file.len() == model.bytes) {
                tracing::warn!(id = %model.id, "the file of a model is missing or damaged");
            }
        }
        let space = Space::new(limits.all_bytes_max);
        space.take(book.bytes());
        Ok(Self(Arc::new(Shared {
            database,
            folder: opened,
            limits,
            space,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            book: RwLock::new(book),
            changing: Mutex::new(Certainty::Sure),
        })))
    }

    pub(super) fn limits(&self) -> ModelLimits {
        self.0.limits
    }

    /// Number of models and size of their files.
    pub fn totals(&self) -> (usize, u64) {
        let book = self.0.book.read();
        (book.len(), book.bytes())
    }

    /// Looks something up; `look` must be short.
    pub(super) fn book<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.0.book.read())
    }

    pub(super) fn path_of(&self, id: ModelId) -> PathBuf {
        self.0.folder.path_of(id)
    }

    /// The right to upload, unless as many as may do.
    pub(super) fn may_upload(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.uploads).try_acquire_owned().ok()
    }

    /// Begins an upload for which `declared` bytes are set aside. Waits for the disk.
    pub(super) fn begin(
        &self,
        declared: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<Incoming, UploadError> {
        let mut reserved = self.0.space.reserve();
        reserved.grow_to(declared)?;
        let bytes_max = self.0.limits.bytes_max;
        Ok(Incoming::begin(
            &self.0.folder,
            bytes_max,
            reserved,
            permit,
        )?)
    }

    /// Makes what was received the model of its room; whether the room had one before.
    pub(super) async fn add(
        &self,
        received: Received,
        place: Place,
        created_by: &str,
        now: Timestamp,
    ) -> Result<(Model, bool), ModelChangeError> {
        let model = Model {
            id: received.id,
            place,
            bytes: received.bytes,
            created_ms: now.millis(),
            created_by: created_by.to_owned(),
        };
        let mut certainty = self.certain().await?;
        let replaced = self.book(|book| book.of_place(&model.place).cloned());
        if replaced.is_none() && self.book(Book::len) >= MODELS_MAX {
            return Err(ModelChangeError::TooMany);
        }
        let folder = self.0.folder.clone();
        // Should nobody wait for its end, its file may be kept without a record.
        *certainty = Certainty::Unsure;
        let (reserved, _permit) = waiting(move || received.keep(&folder)).await?;
        let gone = replaced.as_ref().map(|replaced| replaced.id);
        let gone = gone.filter(|gone| *gone != model.id);
        let change = DocumentChange {
            put: vec![model.to_document()],
            removed: gone.map(named).into_iter().collect(),
        };
        self.0
            .database
            .change_or_doubt(&mut certainty, &change)
            .await?;
        reserved.keep();
        self.0.book.write().put(model.clone());
        if let Some(replaced) = &replaced {
            self.0.space.release(replaced.bytes);
        }
        if let Some(gone) = gone {
            self.remove_file(gone).await?;
        }
        Ok((model, replaced.is_some()))
    }

    /// Removes a model.
    pub(super) async fn remove(&self, id: ModelId) -> Result<Model, ModelChangeError> {
        let mut certainty = self.certain().await?;
        let model = self.book(|book| book.get(id).cloned());
        let model = model.ok_or(ModelChangeError::Missing)?;
        let change = DocumentChange {
            put: Vec::new(),
            removed: vec![named(id)],
        };
        self.0
            .database
            .change_or_doubt(&mut certainty, &change)
            .await?;
        self.0.book.write().remove(id);
        self.0.space.release(model.bytes);
        self.remove_file(id).await?;
        Ok(model)
    }

    /// The right to change something, with a book that is what the database has.
    async fn certain(&self) -> Result<MutexGuard<'_, Certainty>, ModelChangeError> {
        let mut certainty = self.0.changing.lock().await;
        if *certainty == Certainty::Unsure {
            let loaded = Book::read(&self.0.database.load().await?)?;
            let (ids, bytes) = (loaded.ids(), loaded.bytes());
            let before = std::mem::replace(&mut *self.0.book.write(), loaded);
            self.0.space.take(bytes);
            self.0.space.release(before.bytes());
            *certainty = Certainty::Sure;
            let folder = self.0.folder.clone();
            waiting(move || folder.sweep_finished(&ids)).await?;
        }
        Ok(certainty)
    }

    async fn remove_file(&self, id: ModelId) -> io::Result<()> {
        let folder = self.0.folder.clone();
        waiting(move || {
            folder.remove(id);
            Ok(())
        })
        .await
    }
}

fn named(id: ModelId) -> (String, String) {
    (KIND.to_owned(), id.to_string())
}

/// Runs what waits for the disk where it holds up nobody.
pub(super) async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}
