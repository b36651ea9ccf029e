//! What a format of readings has to do.

use super::{RawField, RawReading};
use crate::fault::FieldError;
use std::fmt::Debug;

/// A layout of readings in a body.
pub trait Format: Debug + Send + Sync {
    /// Hands over one reading after the other, in the order sent, so that only one of them is in
    /// memory. What is wrong with one reading spoils only that one; an error spoils the body. A reader
    /// stops with [`BatchError::TooMany`] at the reading behind the first `readings_max`, and keeps only
    /// so much of an object as [`Entries`](super::Entries) says. It may mend the bytes where they are.
    fn read(
        &self,
        bytes: &mut [u8],
        readings_max: usize,
        take: &mut dyn FnMut(RawItem<'_>),
    ) -> Result<(), BatchError>;
}

/// One element of a body: a reading, or why it is none.
#[derive(Debug)]
pub enum RawItem<'a> {
    Reading(RawReading<'a>),
    Fault(FieldError),
}

impl RawItem<'_> {
    /// Whether it is a reading that says nothing of when it was taken.
    /// The sensor it names, as it is written.
    pub fn sensor_id(&self) -> Option<&str> {
        match self {
            Self::Reading(RawReading {
                sensor_id: RawField::Text(id),
                ..
            }) => Some(id),
            _ => None,
        }
    }

    pub fn has_no_time(&self) -> bool {
        matches!(self, Self::Reading(reading) if reading.timestamp == RawField::Absent)
    }
}

/// Why a body as a whole cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// It is not of this format.
    #[error("{detail}")]
    Unreadable {
        /// Stable name of the problem.
        code: &'static str,
        detail: String,
    },
    #[error("the batch has more than {readings_max} readings")]
    TooMany { readings_max: usize },
}
