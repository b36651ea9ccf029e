//! The JSON object of a request, field by field.
//!
//! A handler takes each field out by its kind and makes a struct of them; [`Fields::finish`] then
//! checks the rules that the struct declares (`validator`) and tells all faults at once. The same
//! struct describes the body in the API document. What depends on another field or on the caller is
//! added with [`Fields::fault`].

use super::rule::broken_rules;
use super::{BodyReader, Problem, media_type};
use crate::domain::Sites;
use crate::fault::{FAULTS_MAX, FieldError, pointer};
use actix_web::HttpRequest;
use actix_web::web::Payload;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt::Display;
use validator::Validate;

/// Largest body, expanded: everything that is asked for is a few names, and some of those who ask are
/// nobody yet.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Members that are not taken out are refused: a misspelt one must not go unnoticed, and none may
/// slip in.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    members: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The object in a body; without a body, an empty one.
    pub(crate) async fn read(
        bodies: &BodyReader,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, Problem> {
        if media_type(request.headers()).is_some_and(|sent| sent != "application/json") {
            return Err(Problem::unsupported_media_type("send application/json").closing());
        }
        let body = bodies
            .up_to(BODY_BYTES_MAX)
            .read(request.headers(), payload)
            .await?;
        let body = body.bytes();
        if body.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self {
                members,
                errors: Vec::new(),
            }),
            Ok(_) => Err(Problem::invalid(
                "bad_body",
                "Bad body",
                vec![FieldError::new("", "not_an_object", "must be an object")],
            )),
            // Without what was read: it may be a password.
            Err(error) => Err(Problem::bad_request(
                "not_json",
                format!(
                    "the body is not JSON, at line {} column {}",
                    error.line(),
                    error.column()
                ),
            )),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether there is no member at all.
    pub(crate) fn are_none(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn fault(
        &mut self,
        name: &str,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) {
        if self.errors.len() >= FAULTS_MAX {
            return;
        }
        // An empty name means the whole body.
        let slash = if name.is_empty() { "" } else { "/" };
        self.errors
            .push(FieldError::new(format!("{slash}{name}"), code, detail));
    }

    fn unknown(&mut self, name: &str) {
        if self.errors.len() < FAULTS_MAX {
            let pointer = pointer("/", name);
            let error = FieldError::new(pointer, "unknown_field", "there is no such field");
            self.errors.push(error);
        }
    }

    /// A text that may be left out.
    pub(crate) fn optional_text(&mut self, name: &str) -> Option<String> {
        if let Value::String(text) = self.take(name)? {
            return Some(text);
        }
        self.fault(name, "not_text", "must be a text");
        None
    }

    /// A text that must be there; without one there is a fault.
    pub(crate) fn text(&mut self, name: &str) -> String {
        let errors = self.errors.len();
        let text = self.optional_text(name);
        if text.is_none() && self.errors.len() == errors {
            self.fault(name, "required", "must be given");
        }
        text.unwrap_or_default()
    }

    /// What a text means that may be left out; one that means nothing is a fault.
    pub(crate) fn optional<T, E: Display>(
        &mut self,
        name: &str,
        code: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.optional_text(name)?;
        let parsed = parse(&text);
        parsed
            .map_err(|error| self.fault(name, code, error.to_string()))
            .ok()
    }

    /// What a text means that must be there; without it there is a fault.
    pub(crate) fn required<T, E: Display>(
        &mut self,
        name: &str,
        code: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let errors = self.errors.len();
        let parsed = self.optional(name, code, parse);
        if parsed.is_none() && self.errors.len() == errors {
            self.fault(name, "required", "must be given");
        }
        parsed
    }

    /// A switch that is off when it is left out.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(on)) => on,
            Some(_) => {
                self.fault(name, "not_a_flag", "must be true or false");
                false
            }
        }
    }

    /// A switch that may be left out.
    pub(crate) fn optional_flag(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        if !value.is_boolean() {
            self.fault(name, "not_a_flag", "must be true or false");
        }
        value.as_bool()
    }

    /// What an object within the object means that must be there; without it there is a fault. Its faults
    /// are told with their place.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let members = match self.take(name) {
            Some(Value::Object(members)) => members,
            Some(_) => {
                self.fault(name, "not_an_object", "must be an object");
                return None;
            }
            None => {
                self.fault(name, "required", "must be given");
                return None;
            }
        };
        let mut inner = Self {
            members,
            errors: Vec::new(),
        };
        let value = read(&mut inner);
        for name in std::mem::take(&mut inner.members).keys() {
            inner.unknown(name);
        }
        for mut error in inner.errors {
            error.pointer = format!("/{name}{}", error.pointer).into();
            if self.errors.len() < FAULTS_MAX {
                self.errors.push(error);
            }
        }
        Some(value)
    }

    /// Texts that may be left out.
    pub(crate) fn optional_texts(&mut self, name: &str) -> Option<Vec<String>> {
        let texts = match self.take(name)? {
            Value::Array(items) => items
                .into_iter()
                .map(|item| match item {
                    Value::String(text) => Some(text),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        if texts.is_none() {
            self.fault(name, "not_a_list", "must be a list of texts");
        }
        texts
    }

    /// `null`, or left out, for all sites.
    pub(crate) fn sites(&mut self, name: &str) -> Sites {
        let Some(names) = self.optional_texts(name) else {
            return Sites::ALL;
        };
        Sites::only(names).unwrap_or_else(|detail| {
            self.fault(name, "bad_sites", detail);
            Sites::ALL
        })
    }

    /// The values, when they keep the rules they declare, nothing else is wrong and nothing is left.
    pub(crate) fn finish<T: Validate>(mut self, values: T) -> Result<T, Problem> {
        for name in std::mem::take(&mut self.members).keys() {
            self.unknown(name);
        }
        for error in broken_rules(&values) {
            // A field that could not be read keeps no rule either.
            let is_known = self.errors.iter().any(|it| it.pointer == error.pointer);
            if !is_known && self.errors.len() < FAULTS_MAX {
                self.errors.push(error);
            }
        }
        if self.errors.is_empty() {
            Ok(values)
        } else {
            self.errors.sort_by(|a, b| a.pointer.cmp(&b.pointer));
            Err(Problem::invalid("bad_body", "Bad body", self.errors))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        match value {
            Value::Object(members) => Fields {
                members,
                errors: Vec::new(),
            },
            _ => Fields::default(),
        }
    }

    #[derive(Debug, Validate)]
    struct Values {
        #[validate(length(min = 2, code = "bad_name", message = "must have 2 characters"))]
        name: String,
    }

    fn faults(fields: Fields, name: &str) -> Vec<(String, &'static str)> {
        let name = name.to_owned();
        let problem = fields.finish(Values { name }).unwrap_err();
        let faults = problem.errors.into_iter();
        faults
            .map(|error| (error.pointer.into_owned(), error.code))
            .collect()
    }

    #[test]
    fn every_fault_is_named_with_its_field() {
        let mut body = fields(json!({"name": 1, "sites": ["a", 2], "a/b": 1}));
        assert_eq!(body.text("name"), "");
        assert_eq!(body.text("password"), "");
        assert!(body.sites("sites").are_all());
        let expected = [
            ("/a~1b", "unknown_field"),
            ("/name", "not_text"),
            ("/password", "required"),
            ("/sites", "not_a_list"),
        ];
        let expected = expected.map(|(pointer, code)| (pointer.to_owned(), code));
        assert_eq!(faults(body, ""), expected);
    }

    #[test]
    fn what_is_well_formed_is_taken() {
        let mut body = fields(json!({"name": "ada", "sites": null, "cookie": true, "label": ""}));
        let name = body.text("name");
        assert_eq!(name, "ada");
        assert!(body.sites("sites").are_all() && body.flag("cookie"));
        assert_eq!(body.optional_text("label").unwrap(), "");
        body.finish(Values { name }).unwrap();
        assert_eq!(
            faults(fields(json!({"sites": []})), "a"),
            [
                ("/name".to_owned(), "bad_name"),
                ("/sites".to_owned(), "unknown_field")
            ]
        );
    }
}
