//! Query parameters, each fault with a pointer to its name.

use super::Problem;
use super::rule::broken_rules;
use crate::domain::Timestamp;
use crate::fault::{FAULTS_MAX, FieldError};
use actix_web::HttpRequest;
use std::borrow::Cow;
use std::str::FromStr;
use validator::Validate;

/// The parameters of one request and what is wrong with them.
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

impl Parameters {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let query = request.query_string().as_bytes();
        let pairs = url::form_urlencoded::parse(query).into_owned().collect();
        Self {
            pairs,
            errors: Vec::new(),
        }
    }

    /// The text of a parameter; an empty one counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// The text of a parameter, even an empty one.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.every(name).next()
    }

    /// The texts of a parameter that may be repeated.
    pub(crate) fn every(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.pairs.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    pub(crate) fn number<T: FromStr>(&mut self, name: &'static str) -> Option<T> {
        let text = self.text(name)?;
        // A float parser would take words like `nan` and `inf`.
        let numeric = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        let number = numeric.then(|| text.parse().ok()).flatten();
        self.keep(name, number, "not_a_number", "must be a number")
    }

    pub(crate) fn timestamp(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.text(name)?;
        // A plus sign that was not escaped arrives as a space.
        let unescaped = || Timestamp::parse(&text.replace(' ', "+"));
        let timestamp = Timestamp::parse(text).or_else(unescaped);
        let detail = "must be RFC 3339 with an offset, for example 2025-11-19T10:05:00Z";
        self.keep(name, timestamp, "bad_timestamp", detail)
    }

    /// Whether something is switched on; absent means no.
    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        let switched = match self.text(name) {
            None | Some("false" | "0") => Some(false),
            Some("true" | "1") => Some(true),
            Some(_) => None,
        };
        self.keep(name, switched, "not_a_flag", "must be true or false")
            .unwrap_or(false)
    }

    pub(crate) fn fault(
        &mut self,
        name: &str,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) {
        if self.errors.len() < FAULTS_MAX {
            self.errors
                .push(FieldError::new(format!("/{name}"), code, detail));
        }
    }

    /// The values, when they keep the rules they declare and nothing else is wrong.
    pub(crate) fn finish<T: Validate>(mut self, values: T) -> Result<T, Problem> {
        for error in broken_rules(&values) {
            if self.errors.len() < FAULTS_MAX {
                self.errors.push(error);
            }
        }
        self.done().map(|()| values)
    }

    /// Reports the faults found.
    pub(crate) fn done(mut self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        Err(bad(self.errors))
    }

    /// The problem of one parameter that is wrong only in view of what there is.
    pub(crate) fn problem(
        name: &str,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        bad(vec![FieldError::new(format!("/{name}"), code, detail)])
    }

    /// Reports a fault when there is no value.
    pub(crate) fn keep<T>(
        &mut self,
        name: &'static str,
        value: Option<T>,
        code: &'static str,
        detail: &'static str,
    ) -> Option<T> {
        if value.is_none() {
            self.fault(name, code, detail);
        }
        value
    }
}

fn bad(errors: Vec<FieldError>) -> Problem {
    Problem::invalid("bad_parameter", "Bad parameter", errors)
}
