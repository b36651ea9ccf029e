//! Query parameters, each fault with a pointer to its name.
//!
//! A parameter that nobody asks for is a fault as well: whoever sends one means to have another answer by
//! it, a filter, a limit or a zone, and an answer without it would be taken for that. A field of a body
//! that nobody knows changes nothing of what is stored and is let pass. So are the parameters that change
//! no answer anywhere: those that keep caches away, that say where a link was found, and tokens.

use super::Problem;
use super::rule::broken_rules;
use crate::domain::Timestamp;
use crate::fault::{FAULTS_MAX, FieldError};
use actix_web::HttpRequest;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::str::FromStr;
use validator::Validate;

/// What no answer depends on, and with what names of that kind begin. What a token is worth was found out
/// before.
const WITHOUT_MEANING: [&str; 12] = [
    "token",
    "access_token",
    "cb",
    "cachebuster",
    "cache",
    "nocache",
    "t",
    "v",
    "rnd",
    "rand",
    "fbclid",
    "gclid",
];
const BEGINS_WITHOUT_MEANING: [&str; 2] = ["_", "utm_"];
/// Characters of an unknown name that are told.
const NAME_LENGTH_MAX: usize = 64;

/// The parameters of one request and what is wrong with them.
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
    /// The names that were asked for.
    known: RefCell<BTreeSet<&'static str>>,
    errors: Vec<FieldError>,
}

impl Parameters {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let query = request.query_string().as_bytes();
        let pairs = url::form_urlencoded::parse(query).into_owned().collect();
        Self {
            pairs,
            known: RefCell::default(),
            errors: Vec::new(),
        }
    }

    /// For a call that knows none.
    pub(crate) fn none(request: &HttpRequest) -> Result<(), Problem> {
        Self::of(request).done()
    }

    /// The text of a parameter; an empty one counts as absent.
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// The text of a parameter, even an empty one.
    pub(crate) fn given(&self, name: &'static str) -> Option<&str> {
        self.every(name).next()
    }

    /// The texts of a parameter that may be repeated.
    pub(crate) fn every(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.known.borrow_mut().insert(name);
        let named = self.pairs.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.as_str())
    }

    pub(crate) fn number<T: FromStr>(&mut self, name: &'static str) -> Option<T> {
        // An empty one is no number: a form that was not filled in may mean anything.
        let text = self.given(name)?;
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

    /// Reports the faults found. By then every parameter that has a meaning was asked for.
    pub(crate) fn done(mut self) -> Result<(), Problem> {
        self.find_unknown();
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        Err(bad(self.errors))
    }

    fn find_unknown(&mut self) {
        let known = self.known.take();
        let mut unknown = BTreeSet::new();
        for (name, _) in &self.pairs {
            if !known.contains(name.as_str()) && has_meaning(name) {
                unknown.insert(name.clone());
            }
        }
        if unknown.is_empty() {
            return;
        }
        let names: Vec<_> = known.into_iter().collect();
        let detail = if names.is_empty() {
            "is not known: this call has no parameters".to_owned()
        } else {
            format!("is not known; there are {}", names.join(", "))
        };
        for name in unknown {
            self.fault(&pointed(&name), "unknown_parameter", detail.clone());
        }
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

fn has_meaning(name: &str) -> bool {
    let mut begins = BEGINS_WITHOUT_MEANING.iter();
    !name.is_empty()
        && !WITHOUT_MEANING.contains(&name)
        && !begins.any(|begin| name.starts_with(begin))
}

/// A name as a JSON pointer has it (RFC 6901).
fn pointed(name: &str) -> String {
    let told: String = name.chars().take(NAME_LENGTH_MAX).collect();
    told.replace('~', "~0").replace('/', "~1")
}

fn bad(errors: Vec<FieldError>) -> Problem {
    Problem::invalid("bad_parameter", "Bad parameter", errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    /// The parameters of a call that knows `step` and `limit`, and the faults that it tells.
    fn faults(query: &str) -> Vec<(String, &'static str, String)> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        let mut parameters = Parameters::of(&request);
        parameters.number::<u64>("limit");
        parameters.text("step");
        parameters.find_unknown();
        let told = parameters.errors.into_iter();
        told.map(|error| {
            (
                error.pointer.into_owned(),
                error.code,
                error.detail.into_owned(),
            )
        })
        .collect()
    }

    #[rstest]
    #[case("step=1h&limit=5")]
    #[case("step=1h&step=2h")]
    #[case("_=1763546700&_t=1&cb=x&token=abc&utm_source=x&v=2")]
    #[case("=x&&")]
    fn what_is_known_or_has_no_meaning_is_no_fault(#[case] query: &str) {
        assert_eq!(faults(query), []);
    }

    #[rstest]
    #[case("Step=1h", "/Step")]
    #[case("tz=UTC&tz=UTC", "/tz")]
    #[case("a%2Fb~c=1", "/a~1b~0c")]
    #[case("limit%20=1", "/limit ")]
    fn what_is_not_known_is_told_with_what_is(#[case] query: &str, #[case] pointer: &str) {
        let detail = "is not known; there are limit, step".to_owned();
        assert_eq!(
            faults(query),
            [(pointer.to_owned(), "unknown_parameter", detail)]
        );
    }

    #[test]
    fn of_many_unknown_ones_and_of_long_names_not_all_is_told() {
        let many: Vec<_> = (0..1000).map(|number| format!("p{number}=1")).collect();
        assert_eq!(faults(&many.join("&")).len(), FAULTS_MAX);
        let long = faults(&"%C3%A9".repeat(500));
        assert_eq!(long[0].0, format!("/{}", "é".repeat(NAME_LENGTH_MAX)));
    }
}
