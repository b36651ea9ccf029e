//! The file of a model as the body of an answer.

use super::catalogue::waiting;
use super::id::ModelId;
use super::model::Model;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

/// Bytes read at once; an answer takes no more memory than these.
const READ_BYTES: usize = 64 * 1024;

/// Why a file cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileFault {
    #[error("the file is missing")]
    Missing,
    #[error("the file has {found} bytes instead of {expected}")]
    Damaged { expected: u64, found: u64 },
    #[error("the file cannot be read")]
    Unreadable(#[from] io::Error),
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct ModelFile {
    model: Model,
    file: File,
    hash: Sha256,
    left: u64,
}

impl ModelFile {
    pub(super) async fn open(path: PathBuf, model: Model) -> Result<Self, FileFault> {
        let expected = model.bytes;
        let opened = waiting(move || {
            let file = File::open(path)?;
            let found = file.metadata()?.len();
            Ok((file, found))
        });
        let (file, found) = opened.await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => FileFault::Missing,
            _ => FileFault::Unreadable(error),
        })?;
        if found != expected {
            return Err(FileFault::Damaged { expected, found });
        }
        Ok(Self {
            model,
            file,
            hash: Sha256::new(),
            left: expected,
        })
    }

    /// The bytes. They end with an error before the last of them when they are not those of the id:
    /// browsers keep what is whole for ever.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> {
        try_unfold(self, |file| async move {
            if file.left == 0 {
                return Ok(None);
            }
            waiting(move || file.read().map(Some)).await
        })
    }

    fn read(mut self) -> io::Result<(Bytes, Self)> {
        let length = usize::try_from(self.left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        self.left -= length as u64;
        if self.left == 0 {
            let found = ModelId::of(self.hash.clone(), &self.model.place);
            if found != self.model.id {
                tracing::error!(id = %self.model.id, "the file of a model is damaged");
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok((bytes.into(), self))
    }
}
