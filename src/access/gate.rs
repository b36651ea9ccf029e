//! From credentials to a [`Caller`]: the one place every way in asks.

use super::book::Book;
use super::caller::{Caller, Who};
use super::device_key::PresentedKey;
use super::password::Passwords;
use super::published_keys::PublishedKeys;
use super::rate::{Counted, Limited, RateLimits, customer};
use super::registry::Registry;
use super::role::Role;
use super::token::{TokenError, Tokens, Verified};
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::http::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Whether anybody has to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Auth)]
pub enum AuthMode {
    /// Nobody: everybody is an operator.
    Off,
    /// Everybody.
    Required,
}

/// How long what is handed out lives.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    pub token: Duration,
    pub refresh: Duration,
}

/// Who may do what on this server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    mode: AuthMode,
    registry: Registry,
    tokens: Tokens,
    passwords: Passwords,
    lifetimes: Lifetimes,
    limits: RateLimits,
    clock: Arc<dyn Clock>,
    anyone: Caller,
}

/// What a server needs to know to let people in.
#[derive(Debug)]
pub struct AccessParts {
    pub mode: AuthMode,
    pub registry: Registry,
    pub tokens: Tokens,
    pub lifetimes: Lifetimes,
    pub limits: RateLimits,
    pub clock: Arc<dyn Clock>,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Missing,
    BadToken,
    Expired,
    BadKey,
    Revoked,
    /// They are somebody's, and not for this.
    NoRole,
}

const X_API_KEY: &str = "x-api-key";

impl Access {
    pub fn new(parts: AccessParts) -> Self {
        let AccessParts {
            mode,
            registry,
            tokens,
            lifetimes,
            limits,
            clock,
        } = parts;
        Self(Arc::new(Shared {
            mode,
            registry,
            tokens,
            passwords: Passwords::default(),
            lifetimes,
            limits,
            clock,
            anyone: Caller::anyone(),
        }))
    }

    pub fn mode(&self) -> AuthMode {
        self.0.mode
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(super) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    pub(super) fn lifetimes(&self) -> Lifetimes {
        self.0.lifetimes
    }

    pub fn limits(&self) -> &RateLimits {
        &self.0.limits
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// A number that is another one whenever somebody's rights may have changed.
    pub fn generation(&self) -> u64 {
        self.0.registry.generation()
    }

    /// Who has this token or key.
    pub(super) fn caller(&self, credential: Option<&str>) -> Result<Caller, Refusal> {
        let caller = match credential {
            Some(credential) => self.caller_of(credential),
            None => Err(Refusal::Missing),
        };
        match self.0.mode {
            AuthMode::Off => Ok(caller.unwrap_or_else(|_refused| self.0.anyone.clone())),
            AuthMode::Required => caller,
        }
    }

    fn caller_of(&self, credential: &str) -> Result<Caller, Refusal> {
        let now = self.now();
        if PresentedKey::is_meant(credential) {
            return self.device(credential, now);
        }
        let token = self.0.tokens.verify(credential, now);
        let token = token.map_err(|error| match error {
            TokenError::Expired => Refusal::Expired,
            TokenError::Invalid => Refusal::BadToken,
        })?;
        self.0.registry.book(|book| person(book, token))
    }

    fn device(&self, key: &str, now: Timestamp) -> Result<Caller, Refusal> {
        let presented = PresentedKey::parse(key).ok_or(Refusal::BadKey)?;
        self.0.registry.book(|book| {
            let entry = book.keys.get(presented.id).ok_or(Refusal::BadKey)?;
            if !entry.key.is(presented) {
                return Err(Refusal::BadKey);
            }
            entry.note_use(now.millis());
            let who = Who::Device {
                id: presented.id.to_owned(),
                key: Arc::clone(&entry.key),
            };
            Ok(Caller::new(who, entry.key.sites.clone(), None))
        })
    }

    /// Whether somebody who was let in may stay.
    pub fn check(&self, caller: &Caller) -> Result<(), Refusal> {
        if caller.expires_at().is_some_and(|end| end <= self.now()) {
            return Err(Refusal::Expired);
        }
        if self.is_revoked(caller) {
            return Err(Refusal::Revoked);
        }
        Ok(())
    }

    /// Whether the login or the key of somebody who was let in is gone.
    pub fn is_revoked(&self, caller: &Caller) -> bool {
        match caller.who() {
            Who::Anyone | Who::Person { session: None, .. } => false,
            Who::Person {
                session: Some(session),
                ..
            } => !self
                .0
                .registry
                .book(|book| book.sessions.contains_key(session)),
            Who::Device { id, .. } => !self.0.registry.book(|book| book.keys.contains_key(id)),
        }
    }

    /// The keys of the outside issuer, where it publishes them.
    pub fn published_keys(&self) -> Option<&PublishedKeys> {
        self.0.tokens.published_keys()
    }

    /// Counts credentials that were refused.
    pub(super) fn count_refused(&self, address: Option<IpAddr>) -> Result<(), Limited> {
        let counted = counted_address(address);
        counted.map_or(Ok(()), |counted| self.0.limits.api.check(counted))
    }

    /// A token that belongs to no account.
    pub fn issue(&self, token: &Verified) -> anyhow::Result<String> {
        self.0.tokens.issue(token, self.now())
    }

    /// Who is counted for the requests of a caller.
    pub fn counted(&self, caller: &Caller, address: Option<IpAddr>) -> Option<Counted> {
        match caller.who() {
            Who::Anyone => counted_address(address),
            Who::Person { name, .. } => Some(self.0.limits.known("account", name)),
            Who::Device { id, .. } => Some(self.0.limits.known("key", id)),
        }
    }
}

pub(super) fn counted_address(address: Option<IpAddr>) -> Option<Counted> {
    address.map(|address| Counted::Address(customer(address)))
}

/// The caller of a verified token, with the rights of its account or, without one, of the token.
fn person(book: &Book, token: Verified) -> Result<Caller, Refusal> {
    let Verified {
        subject,
        session,
        role,
        sites,
        expires_at,
    } = token;
    let (role, sites) = match &session {
        // What the account may do now, whatever it could when the token was made.
        Some(id) => {
            let known = book.sessions.get(id).ok_or(Refusal::Revoked)?;
            let account = book.accounts.get(&known.account).ok_or(Refusal::Revoked)?;
            (account.role, account.sites.clone())
        }
        None => (role.ok_or(Refusal::NoRole)?, sites),
    };
    if super::account::role_fault(role, &sites).is_some() {
        return Err(Refusal::NoRole);
    }
    let who = Who::Person {
        name: subject,
        role,
        session,
    };
    Ok(Caller::new(who, sites, Some(expires_at)))
}

/// The credential in the headers of a request.
pub fn credential(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let bearer = text(header::AUTHORIZATION.as_str()).map(|value| {
        let (scheme, credential) = value.split_once(' ').unwrap_or_default();
        // Another scheme is a credential that is not valid, not none.
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        if is_bearer { credential.trim() } else { "" }
    });
    let key = || text(X_API_KEY).map(str::trim);
    bearer.or_else(key).map(str::to_owned)
}

/// Whether a request shows a credential that only a program has put there. A page of another origin
/// cannot send such a header unless a preflight allows it to; cookies, and what a browser answers to
/// these schemes by itself, go along with whatever any page sends.
pub(crate) fn has_own_credential(headers: &HeaderMap) -> bool {
    const BY_BROWSERS: [&str; 4] = ["basic", "digest", "negotiate", "ntlm"];
    let text = |name: &str| headers.get(name)?.to_str().ok();
    // A proxy may have put it there for whatever its visitor's browser sends, pages of others included.
    // No page of the web has the origin of a file.
    let is_of_a_page_elsewhere = text("sec-fetch-site").is_some_and(|site| {
        ["cross-site", "same-site"]
            .iter()
            .any(|one| site.eq_ignore_ascii_case(one))
    });
    let is_of_a_file = text("origin").is_some_and(|origin| origin.starts_with("file:"));
    if is_of_a_page_elsewhere && !is_of_a_file {
        return false;
    }
    let in_header = text(header::AUTHORIZATION.as_str()).is_some_and(|value| {
        let (scheme, credential) = value.split_once(' ').unwrap_or_default();
        let is_by_browser = BY_BROWSERS
            .iter()
            .any(|one| scheme.eq_ignore_ascii_case(one));
        !is_by_browser && !credential.trim().is_empty()
    });
    in_header || text(X_API_KEY).is_some_and(|key| !key.trim().is_empty())
}

/// The token in a query, for where browsers cannot set headers.
pub fn token_in_query(query: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (_, token) = pairs.find(|(name, _)| name == "token")?;
    Some(token.into_owned())
}

impl Refusal {
    /// Stable name, for problems and messages.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "unauthorized",
            Self::BadToken => "bad_token",
            Self::Expired => "token_expired",
            Self::BadKey => "bad_key",
            Self::Revoked => "revoked",
            Self::NoRole => "forbidden",
        }
    }

    /// What is wrong, for people. Short enough for the reason of a close frame.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Missing => "credentials are needed",
            Self::BadToken => "the token is not valid",
            Self::Expired => "the token has expired",
            Self::BadKey => "the key is not valid",
            Self::Revoked => "the credentials were revoked",
            Self::NoRole => "these credentials are not for this",
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, title) = match refusal {
            Refusal::NoRole => (StatusCode::FORBIDDEN, "Forbidden"),
            _ => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        };
        Self::new(status, refusal.code(), title, refusal.detail())
    }
}

/// Answers what a role is not enough for.
pub(crate) fn forbidden(needed: Role) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "Forbidden",
        format!("this needs the role {}", needed.as_str()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use rstest::rstest;

    #[rstest]
    #[case::header(&[("authorization", "Bearer a")], Some("a"))]
    #[case::any_case(&[("authorization", "bearer  a ")], Some("a"))]
    #[case::another_scheme(&[("authorization", "Basic a")], Some(""))]
    #[case::not_text(&[("authorization", "é")], Some(""))]
    #[case::key(&[("x-api-key", " k ")], Some("k"))]
    #[case::bearer_first(&[("authorization", "Bearer a"), ("x-api-key", "k")], Some("a"))]
    #[case::nothing(&[("cookie", "a")], None)]
    fn a_credential_is_found(#[case] sent: &[(&'static str, &str)], #[case] found: Option<&str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.insert(HeaderName::from_static(name), value);
        }
        assert_eq!(credential(&headers).as_deref(), found);
    }

    #[rstest]
    #[case::bearer(&[("authorization", "Bearer a")], true)]
    #[case::key(&[("x-api-key", "k")], true)]
    #[case::of_the_browser(&[("authorization", "Basic YTpi")], false)]
    #[case::empty(&[("authorization", "Bearer "), ("x-api-key", " ")], false)]
    #[case::cookie(&[("cookie", "iaqverse_refresh=a")], false)]
    #[case::of_a_proxy(&[("authorization", "Bearer a"), ("sec-fetch-site", "cross-site")], false)]
    #[case::of_a_file(&[("authorization", "Bearer a"), ("sec-fetch-site", "cross-site"),
        ("origin", "file://")], true)]
    #[case::of_a_page_here(&[("authorization", "Bearer a"), ("sec-fetch-site", "same-origin")], true)]
    fn a_credential_of_a_program_is_told_from_one_of_a_browser(
        #[case] sent: &[(&'static str, &'static str)],
        #[case] own: bool,
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = HeaderName::from_static(name);
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(has_own_credential(&headers), own);
    }

    #[test]
    fn a_token_is_found_in_a_query() {
        let token = token_in_query("topics=all&token=a%2Eb");
        assert_eq!(token.as_deref(), Some("a.b"));
        assert_eq!(token_in_query("topics=all"), None);
    }
}
