//! Logins that go on: refresh tokens that change with every use.
//!
//! A refresh token names its session by a random family that nothing else tells, so a client
//! that shows another secret of a family has a token that was used before: either that client or the
//! one before it has stolen it. Then the session ends for both.

use super::secret::{SECRET_LENGTH, fingerprint, has_fingerprint, random_id, random_secret};
use crate::database::{Document, StoreError};
use crate::documents::Record;
use crate::domain::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const PREFIX: &str = "iaqr_";
/// Characters of a family.
const FAMILY_LENGTH: usize = 32;
/// Characters of a session's id.
const ID_LENGTH: usize = 24;
/// Two tabs of a browser may refresh at the same moment, and both send the cookie of before.
const COOKIE_OVERLAP: Duration = Duration::from_secs(10);

/// One login of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub account: String,
    /// Fingerprint of the secret that refreshes it next.
    current: String,
    /// The one before, and until when it still counts, in a cookie.
    previous: Option<(String, i64)>,
    /// The token is kept by a browser, where no script can read it.
    pub in_cookie: bool,
    pub expires_ms: i64,
}

impl Record for Session {
    const KIND: &'static str = "session";
    const SUBJECT: &'static str = "logins";

    fn of(document: &Document) -> Result<Self, StoreError> {
        document.record()
    }
}

/// What a refresh token asks for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    family: String,
    secret: String,
}

/// What becomes of a session when somebody comes with a token of its family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refreshed {
    /// The session goes on, with a new token.
    Rotated(Session, String),
    /// The other tab has the new token already.
    Overlapping,
    /// The token was used before.
    Reused,
    Expired,
}

impl RefreshToken {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (family, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        (family.len() == FAMILY_LENGTH && secret.len() == SECRET_LENGTH).then(|| Self {
            family: family.to_owned(),
            secret: secret.to_owned(),
        })
    }

    fn random() -> Self {
        Self {
            family: random_id::<{ FAMILY_LENGTH / 2 }>(),
            secret: random_secret(),
        }
    }

    /// The text that its owner gets.
    fn text(&self) -> String {
        format!("{PREFIX}{}_{}", self.family, self.secret)
    }

    /// The id of its session, which tells nothing about the family.
    pub(crate) fn session_id(&self) -> String {
        let mut id = fingerprint(&self.family);
        id.truncate(ID_LENGTH);
        id
    }
}

impl Session {
    /// Begins a session; returns its id and its first refresh token.
    pub(crate) fn begin(
        account: &str,
        in_cookie: bool,
        expires_at: Timestamp,
    ) -> (String, Self, String) {
        let token = RefreshToken::random();
        let session = Self {
            account: account.to_owned(),
            current: fingerprint(&token.secret),
            previous: None,
            in_cookie,
            expires_ms: expires_at.millis(),
        };
        (token.session_id(), session, token.text())
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_ms <= now.millis()
    }

    /// Uses a token of this session's family up.
    pub(crate) fn refresh(
        &self,
        token: &RefreshToken,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Refreshed {
        if self.has_expired(now) {
            return Refreshed::Expired;
        }
        if !has_fingerprint(&token.secret, &self.current) {
            let overlaps = self.previous.as_ref().is_some_and(|(previous, until_ms)| {
                self.in_cookie
                    && now.millis() < *until_ms
                    && has_fingerprint(&token.secret, previous)
            });
            return if overlaps {
                Refreshed::Overlapping
            } else {
                Refreshed::Reused
            };
        }
        let next = RefreshToken {
            family: token.family.clone(),
            secret: random_secret(),
        };
        let session = Self {
            current: fingerprint(&next.secret),
            previous: Some((self.current.clone(), now.plus(COOKIE_OVERLAP).millis())),
            expires_ms: expires_at.millis(),
            ..self.clone()
        };
        Refreshed::Rotated(session, next.text())
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RefreshToken").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn token(text: &str) -> RefreshToken {
        RefreshToken::parse(text).unwrap()
    }

    fn rotated(session: &Session, text: &str, now: i64) -> (Session, String) {
        match session.refresh(&token(text), at(now), at(now + 100)) {
            Refreshed::Rotated(session, text) => (session, text),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_token_refreshes_once_and_a_second_use_is_noticed() {
        let (id, session, first) = Session::begin("ada", false, at(100));
        assert_eq!(token(&first).session_id(), id);
        let (session, second) = rotated(&session, &first, 1);
        assert_eq!(token(&second).session_id(), id);
        let again = session.refresh(&token(&first), at(1), at(101));
        assert_eq!(again, Refreshed::Reused);
        let (session, _) = rotated(&session, &second, 2);
        assert_eq!(session.expires_ms, 102_000);
    }

    #[test]
    fn a_cookie_of_before_counts_for_some_seconds_and_gives_no_new_one() {
        let (_, session, first) = Session::begin("ada", true, at(100));
        let (session, _) = rotated(&session, &first, 1);
        let again = |now| session.refresh(&token(&first), at(now), at(101));
        assert_eq!(again(10), Refreshed::Overlapping);
        assert_eq!(again(11), Refreshed::Reused);
    }

    #[test]
    fn a_session_ends() {
        let (_, session, first) = Session::begin("ada", false, at(100));
        let refreshed = session.refresh(&token(&first), at(100), at(200));
        assert_eq!(refreshed, Refreshed::Expired);
    }

    #[test]
    fn only_texts_of_the_right_form_are_tokens() {
        let (_, _, text) = Session::begin("ada", false, at(100));
        assert!(RefreshToken::parse(&text).is_some());
        for wrong in [
            "",
            "iaqr_",
            "iaqr_a_b",
            text.trim_start_matches("iaqr"),
            &format!("{text}x"),
        ] {
            assert!(RefreshToken::parse(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{:?}", token(&text)).contains(&token(&text).secret));
    }
}
