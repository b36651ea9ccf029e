//! What can be wrong with packed bytes.

use crate::domain::ExtrasError;

/// Packed bytes that cannot be read: damaged, or of a later version of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("packed bytes cannot be read: {fault} (before byte {offset})")]
pub(in crate::store) struct PackError {
    pub fault: Fault,
    /// How much had been read when it was noticed.
    pub offset: usize,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::store) enum Fault {
    #[error("version {0} is not known")]
    Version(u8),
    #[error("they end too early")]
    End,
    #[error("more follows behind the end")]
    Trailing,
    #[error("an integer is too large")]
    Integer,
    #[error("a count is larger than what the rest can hold")]
    Count,
    #[error("a marker is not known")]
    Marker,
    #[error("a row is behind the last")]
    Row,
    #[error("a time is before the one ahead of it")]
    Order,
    #[error("a number is not one that can be stored")]
    Number,
    #[error("a key is not UTF-8")]
    Key,
    #[error("an extra number cannot be kept: {0}")]
    Extras(ExtrasError),
    #[error("the ids begin before their epoch")]
    Ids,
}
