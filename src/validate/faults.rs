//! What is found wrong with one reading.

use crate::fault::{FieldError, Ignored};
use crate::payload::RawField;
use std::borrow::Cow;
use std::fmt::Display;

/// The faults found so far, up to those that are told.
pub(super) struct Faults {
    /// For which the reading is refused.
    refusing: Vec<FieldError>,
    /// Values that are left out of it.
    pub(super) ignored: Ignored,
    errors_max: usize,
}

impl Faults {
    pub(super) fn up_to(errors_max: usize) -> Self {
        Self {
            refusing: Vec::new(),
            ignored: Ignored::default(),
            errors_max: errors_max.max(1),
        }
    }

    /// Whether the reading is refused whatever else it has.
    pub(super) fn refuse_it(&self) -> bool {
        !self.refusing.is_empty()
    }

    /// Whether nothing more would be told of the reading, which is refused.
    pub(super) fn are_enough(&self) -> bool {
        self.refusing.len() >= self.errors_max
    }

    /// Notes what the whole reading is refused for.
    pub(super) fn refuse(&mut self, error: impl FnOnce() -> FieldError) {
        if !self.are_enough() {
            self.refusing.push(error());
        }
    }

    /// Notes what is left out, `count` values for one reason.
    pub(super) fn leave_out(&mut self, count: usize, error: impl FnOnce() -> FieldError) {
        if count > 0 && self.ignored.told.len() < self.errors_max {
            self.ignored.told.push(error());
        }
        self.ignored.total += count;
    }

    /// All of them as what the reading is refused for; first what alone would be reason enough.
    pub(super) fn into_errors(self) -> Vec<FieldError> {
        let mut errors = self.refusing;
        errors.extend(self.ignored.told);
        errors.truncate(self.errors_max);
        errors
    }

    pub(super) fn keep<T, E: Display>(
        &mut self,
        result: Result<T, E>,
        pointer: &'static str,
        code: &'static str,
    ) -> Option<T> {
        result
            .map_err(|error| self.refuse(|| FieldError::new(pointer, code, error.to_string())))
            .ok()
    }

    /// Reports a field that is absent or not a text.
    pub(super) fn require<T>(
        &mut self,
        field: &RawField<'_>,
        pointer: &'static str,
        absent: &'static str,
    ) -> Option<T> {
        self.refuse(|| match field {
            RawField::Absent => FieldError::new(pointer, "required", absent),
            RawField::LoneSurrogate => lone_surrogate(pointer),
            _ => FieldError::new(pointer, "not_text", "must be a text"),
        });
        None
    }
}

pub(super) fn lone_surrogate(pointer: impl Into<Cow<'static, str>>) -> FieldError {
    FieldError::new(
        pointer,
        "lone_surrogate",
        "has half of a surrogate pair, such as \\ud83d alone, which is no character",
    )
}
