//! Why a GLB file is refused, and where in the file.

use std::borrow::Cow;

/// Why a file is not taken as a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct GlbFault {
    pub at: At,
    /// Stable name of the fault.
    pub code: &'static str,
    /// What is expected, for people.
    pub detail: Cow<'static, str>,
}

/// Where it is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// Offset from the beginning of the file.
    Byte(u64),
    /// JSON pointer (RFC 6901) into the file's JSON.
    Member(String),
}

impl GlbFault {
    pub(super) fn at_byte(
        offset: u64,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            at: At::Byte(offset),
            code,
            detail: detail.into(),
        }
    }

    pub(super) fn at_member(
        pointer: String,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            at: At::Member(pointer),
            code,
            detail: detail.into(),
        }
    }
}
