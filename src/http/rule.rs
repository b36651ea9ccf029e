//! Rules that the parameters and the body of a call declare with `validator`, told as faults.

use crate::fault::FieldError;
use std::borrow::Cow;
use validator::{Validate, ValidationError};

/// The verdict of a rule of its own: a fault, when there is one, becomes an error with this code.
pub(crate) fn rule(
    code: &'static str,
    fault: Option<impl Into<Cow<'static, str>>>,
) -> Result<(), ValidationError> {
    match fault {
        None => Ok(()),
        Some(fault) => Err(ValidationError::new(code).with_message(fault.into())),
    }
}

/// The rules that `values` does not keep, by field. One that names no code is a range.
pub(super) fn broken_rules(values: &impl Validate) -> Vec<FieldError> {
    let Err(errors) = values.validate() else {
        return Vec::new();
    };
    let errors = errors.field_errors().into_iter();
    let mut broken: Vec<_> = errors
        .flat_map(|(name, errors)| errors.iter().map(move |error| (name.clone(), error)))
        .map(|(name, error)| {
            let code = match error.code {
                Cow::Borrowed("range") | Cow::Owned(_) => "out_of_range",
                Cow::Borrowed(code) => code,
            };
            let detail = error.message.clone().unwrap_or("is out of range".into());
            FieldError::new(format!("/{name}"), code, detail)
        })
        .collect();
    broken.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    broken
}
