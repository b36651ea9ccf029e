//! An upload on its way to the disk.

use super::folder::{Folder, Temporary};
use super::glb::{self, CheckError, GlbFault, HEAD_BYTES, Head};
use super::id::ModelId;
use super::space::{QuotaExceeded, Reserved};
use crate::domain::Place;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// What a task that writes is told.
#[derive(Debug)]
pub(super) enum Part {
    Bytes(Bytes),
    /// That was all. Without it the upload was broken off.
    End,
}

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error("a model may have {bytes_max} bytes")]
    TooLarge { bytes_max: u64 },
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    #[error(transparent)]
    Bad(#[from] GlbFault),
    #[error("the file could not be written")]
    File(#[from] io::Error),
    #[error("the upload was broken off")]
    BrokenOff,
}

/// A file that is being received. What is dropped leaves nothing behind.
#[derive(Debug)]
pub(super) struct Incoming {
    temporary: Temporary,
    file: File,
    hash: Sha256,
    /// The first bytes, until there are enough of them to judge.
    head: Vec<u8>,
    bytes: u64,
    bytes_max: u64,
    reserved: Reserved,
    permit: OwnedSemaphorePermit,
}

/// A file that is a model, whole and on the disk, but not under its name.
#[derive(Debug)]
pub(super) struct Received {
    pub id: ModelId,
    pub bytes: u64,
    pub reserved: Reserved,
    temporary: Temporary,
    /// Until then it is one of the uploads under way.
    permit: OwnedSemaphorePermit,
}

impl Incoming {
    pub(super) fn begin(
        folder: &Folder,
        bytes_max: u64,
        reserved: Reserved,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let (temporary, file) = folder.create()?;
        Ok(Self {
            temporary,
            file,
            hash: Sha256::new(),
            head: Vec::with_capacity(HEAD_BYTES),
            bytes: 0,
            bytes_max,
            reserved,
            permit,
        })
    }

    /// Takes parts until the last one. Waits for them and for the disk.
    pub(super) fn receive(
        mut self,
        parts: &mut mpsc::Receiver<Part>,
        place: &Place,
    ) -> Result<Received, UploadError> {
        while let Some(part) = parts.blocking_recv() {
            match part {
                Part::Bytes(bytes) => self.write(&bytes)?,
                Part::End => return self.finish(place),
            }
        }
        Err(UploadError::BrokenOff)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(self.too_large());
        }
        self.reserved.grow_to(self.bytes)?;
        if self.head.len() < HEAD_BYTES {
            let missing = bytes.iter().take(HEAD_BYTES - self.head.len());
            self.head.extend(missing);
            self.judge_head()?;
        }
        self.hash.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// Most files that are none need not come to their end.
    fn judge_head(&self) -> Result<(), UploadError> {
        if let Ok(head) = <&[u8; HEAD_BYTES]>::try_from(self.head.as_slice()) {
            let head = Head::read(head)?;
            if u64::from(head.length) > self.bytes_max {
                return Err(self.too_large());
            }
        }
        Ok(())
    }

    fn too_large(&self) -> UploadError {
        UploadError::TooLarge {
            bytes_max: self.bytes_max,
        }
    }

    fn finish(mut self, place: &Place) -> Result<Received, UploadError> {
        glb::check(&mut self.file, self.bytes).map_err(|error| match error {
            CheckError::Fault(fault) => UploadError::Bad(fault),
            CheckError::File(error) => UploadError::File(error),
        })?;
        self.file.sync_all()?;
        Ok(Received {
            id: ModelId::of(self.hash, place),
            bytes: self.bytes,
            reserved: self.reserved,
            temporary: self.temporary,
            permit: self.permit,
        })
    }
}

impl Received {
    /// Gives the file its name, under which it survives a power cut.
    pub(super) fn keep(self, folder: &Folder) -> io::Result<(Reserved, OwnedSemaphorePermit)> {
        folder.keep(self.temporary, self.id)?;
        Ok((self.reserved, self.permit))
    }
}
