//! The models there are: records in the database, files in the folder.
//!
//! A file is durable before its record, and a record is gone before its file. So whatever interrupts
//! a change leaves a file without a record at worst, which the next change or start removes. One
//! server owns the folder; what other processes do to the records, the folder and the space follow.

use super::book::Book;
use super::change::{self, ModelRefusal};
use super::folder::{Folder, FolderError};
use super::id::ModelId;
use super::incoming::{Incoming, Received, UploadError};
use super::model::Model;
use super::rooms::Rooms;
use super::space::Space;
use crate::database::{DocumentDatabase, DocumentVersions, StoreError};
use crate::documents::{Book as _, ChangeError, Collection, Follower};
use crate::domain::{Place, Timestamp};
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

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
    records: Collection<Book>,
    rooms: Arc<dyn Rooms>,
    folder: Folder,
    limits: ModelLimits,
    space: Space,
    uploads: Arc<Semaphore>,
    /// Held while files or records change.
    files: Arc<Mutex<Files>>,
}

/// Which records the folder and the space are right for.
#[derive(Debug)]
struct Files {
    /// Bytes of models that the space counts.
    counted: u64,
    /// The book's, when the folder was last known to have no other files.
    generation: u64,
    /// A change was begun whose end nobody has seen.
    is_doubtful: bool,
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
    #[error("the same file is the model of a room that was called so before")]
    OfAnotherRoom,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file could not be written")]
    File(#[from] io::Error),
}

impl From<ChangeError<ModelRefusal>> for ModelChangeError {
    fn from(error: ChangeError<ModelRefusal>) -> Self {
        match error {
            ChangeError::Refused(ModelRefusal::TooMany) => Self::TooMany,
            ChangeError::Refused(ModelRefusal::Missing) => Self::Missing,
            ChangeError::Refused(ModelRefusal::OfAnotherRoom) => Self::OfAnotherRoom,
            ChangeError::Store(error) => Self::Store(error),
        }
    }
}

impl Follower for Models {
    fn kinds(&self) -> &'static [&'static str] {
        Book::KINDS
    }

    fn subject(&self) -> &'static str {
        Book::SUBJECT
    }

    fn follow<'a>(
        &'a self,
        versions: &'a DocumentVersions,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            self.0.records.refresh_to(versions).await?;
            self.bind().await?;
            // Nobody has to wait here for the disk of an upload. Where the end of a change is unknown,
            // the next change tidies: until then the record of a file may come still.
            let files = Arc::clone(&self.0.files).try_lock_owned();
            if let Ok(files) = files
                && !files.is_doubtful
            {
                let tidied = self.tidy(files).await;
                tidied.map_err(|source| StoreError::File {
                    action: "the folder of the models cannot be tidied".to_owned(),
                    source,
                })?;
            }
            Ok(())
        })
    }
}

impl Models {
    /// Reads the records and tidies the folder.
    pub async fn open(
        database: Arc<dyn DocumentDatabase>,
        rooms: Arc<dyn Rooms>,
        folder: &Path,
        limits: ModelLimits,
    ) -> Result<Self, ModelsError> {
        let records: Collection<Book> = Collection::open(database).await?;
        let ids = records.book(Book::ids);
        let opened = Folder::open(folder)?;
        let swept = opened.sweep(&ids);
        let swept = swept.map_err(|error| ModelsError::Sweep(folder.to_owned(), error))?;
        if swept > 0 {
            tracing::info!(files = swept, "files of unfinished uploads were removed");
        }
        records.book(|book| {
            for model in book.iter() {
                let metadata = std::fs::metadata(opened.path_of(model.id));
                if !metadata.is_ok_and(|file| file.is_file() && file.len() == model.bytes) {
                    tracing::warn!(id = %model.id, "the file of a model is missing or damaged");
                }
            }
        });
        let space = Space::new(limits.all_bytes_max);
        let files = Files {
            counted: records.book(Book::bytes),
            generation: records.generation(),
            is_doubtful: false,
        };
        space.take(files.counted);
        Ok(Self(Arc::new(Shared {
            records,
            rooms,
            folder: opened,
            limits,
            space,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            files: Arc::new(Mutex::new(files)),
        })))
    }

    pub(super) fn limits(&self) -> ModelLimits {
        self.0.limits
    }

    /// Number of models and size of their files.
    pub fn totals(&self) -> (usize, u64) {
        self.book(|book| (book.len(), book.bytes()))
    }

    /// Looks something up; `look` must be short.
    pub(super) fn book<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.0.records.book(look)
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
            room: None,
            place,
            bytes: received.bytes,
            created_ms: now.millis(),
            created_by: created_by.to_owned(),
        };
        // Whether the room has a key is looked up as late as what it is put in place of.
        let put = |book: &Book| {
            let model = Model {
                room: self.0.rooms.key(&model.place),
                ..model.clone()
            };
            let (change, replaced) = change::put(book, &model)?;
            Ok((change, (model, replaced)))
        };
        let mut files = self.tidied().await?;
        // Before the file is kept, which is in vain when there are too many.
        self.book(put).map_err(ChangeError::Refused)?;
        let folder = self.0.folder.clone();
        // Should nobody wait for its end, its file may be kept without a record.
        files.is_doubtful = true;
        let (reserved, _permit, mut files) = waiting(move || {
            let (reserved, permit) = received.keep(&folder)?;
            Ok((reserved, permit, files))
        })
        .await?;
        let (model, replaced) = self.0.records.change(put).await?;
        files.counted += reserved.keep();
        let gone = replaced.as_ref().map(|replaced| replaced.id);
        self.end_change(gone.filter(|gone| *gone != model.id), files)
            .await?;
        Ok((model, replaced.is_some()))
    }

    /// Removes a model.
    pub(super) async fn remove(&self, id: ModelId) -> Result<Model, ModelChangeError> {
        let mut files = self.tidied().await?;
        files.is_doubtful = true;
        let removed = self.0.records.change(|book| change::remove(book, id));
        let model = match removed.await {
            Ok(model) => model,
            Err(error) => {
                files.is_doubtful = matches!(error, ChangeError::Store(_));
                return Err(error.into());
            }
        };
        self.end_change(Some(id), files).await?;
        Ok(model)
    }

    /// What the room of a model is called now.
    pub(super) fn place_of(&self, model: &Model) -> Arc<Place> {
        let place = model.room.and_then(|room| self.0.rooms.place(room));
        place.unwrap_or_else(|| Arc::new(model.place.clone()))
    }

    /// Gives models the keys of their rooms, of which there have been readings by now.
    async fn bind(&self) -> Result<(), StoreError> {
        let rooms = &*self.0.rooms;
        if self.book(|book| change::bind(book, rooms).is_empty()) {
            return Ok(());
        }
        let bound = self.0.records.change(|book| {
            let change = change::bind(book, rooms);
            Ok::<_, Infallible>((change, ()))
        });
        match bound.await {
            Ok(()) => Ok(()),
            Err(ChangeError::Store(error)) => Err(error),
            Err(ChangeError::Refused(never)) => match never {},
        }
    }

    /// The right to change something, with a folder that has the files of the book.
    async fn tidied(&self) -> Result<OwnedMutexGuard<Files>, ModelChangeError> {
        let files = Arc::clone(&self.0.files).lock_owned().await;
        if files.is_doubtful {
            self.0.records.refresh().await?;
        }
        Ok(self.tidy(files).await?)
    }

    /// Makes the space and the folder follow the book, where it has changed behind them.
    async fn tidy(&self, mut files: OwnedMutexGuard<Files>) -> io::Result<OwnedMutexGuard<Files>> {
        let generation = self.0.records.generation();
        if files.generation == generation && !files.is_doubtful {
            return Ok(files);
        }
        self.recount(&mut files);
        let ids = self.book(Book::ids);
        let folder = self.0.folder.clone();
        waiting(move || {
            folder.sweep_finished(&ids)?;
            files.is_doubtful = false;
            files.generation = generation;
            Ok(files)
        })
        .await
    }

    /// Counts the bytes of the models there are now.
    fn recount(&self, files: &mut Files) {
        let bytes = self.book(Book::bytes);
        self.0.space.take(bytes.saturating_sub(files.counted));
        self.0.space.release(files.counted.saturating_sub(bytes));
        files.counted = bytes;
    }

    /// After a change of the records: the file of the one that is gone goes as well.
    async fn end_change(
        &self,
        gone: Option<ModelId>,
        mut files: OwnedMutexGuard<Files>,
    ) -> io::Result<()> {
        self.recount(&mut files);
        let folder = self.0.folder.clone();
        waiting(move || {
            if let Some(id) = gone {
                folder.remove(id);
            }
            files.is_doubtful = false;
            // Of this change alone; what others have changed meanwhile is still to be tidied.
            files.generation += 1;
            Ok(())
        })
        .await
    }
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

#[cfg(test)]
mod tests;
