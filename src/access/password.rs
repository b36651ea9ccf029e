//! Passwords of people: argon2id, as slow as OWASP asks for (19 MiB, two passes).

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Characters of a password. The most keeps hashing from being work without end.
const PASSWORD_LENGTH: RangeInclusive<usize> = 10..=256;
/// Passwords that are hashed at the same time: each takes 19 MiB and a core.
const HASHES_MAX: usize = 2;
/// How long somebody waits for others to have theirs hashed.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a password is compared with where there is no account, so that a name nobody has takes as long
/// as one that somebody has. It is of a random password that nobody knows.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$pjPHA8SvV+vl4xVdHLjVTg$Bh+OFk59vwmJ4Y2/bnrIcjFvBDhgPDNE+us5zGIGJIQ";

/// Hashes passwords on threads of their own, a few at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Passwords(Arc<Semaphore>);

/// Others are being hashed, and too many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub(crate) struct PasswordsBusy;

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HASHES_MAX)))
    }
}

impl Passwords {
    /// What is kept of a password.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, PasswordsBusy> {
        let hashed = self.work(move || hash(password.expose_secret()));
        hashed.await?.ok_or(PasswordsBusy)
    }

    /// Whether the password is the one that was hashed. Without a hash it is not, and takes as long.
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, PasswordsBusy> {
        self.work(move || {
            let is_right = |hash: &str| {
                Argon2::default()
                    .verify_password(password.expose_secret().as_bytes(), hash)
                    .is_ok()
            };
            let is_right = is_right(hash.as_deref().unwrap_or(NOBODYS));
            is_right && hash.is_some()
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordsBusy> {
        let turn = timeout(TURN_WAIT_MAX, Arc::clone(&self.0).acquire_owned());
        let Ok(Ok(permit)) = turn.await else {
            return Err(PasswordsBusy);
        };
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_panicked| PasswordsBusy)
    }
}

/// What is wrong with the length of a password that somebody chooses.
pub(crate) fn length_fault(password: &str) -> Option<String> {
    let (least, most) = (PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end());
    let is_right = PASSWORD_LENGTH.contains(&password.chars().count());
    (!is_right).then(|| format!("must have {least} to {most} characters"))
}

/// `None` only when the system has no randomness to give.
fn hash(password: &str) -> Option<String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).ok()?;
    Some(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_that_was_hashed_is_right() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let verify = async |password: &str, hash: Option<&String>| {
            let verified = passwords.verify(password.into(), hash.cloned());
            verified.await.unwrap()
        };
        assert!(verify("correct horse", Some(&hash)).await);
        assert!(!verify("correct horsf", Some(&hash)).await);
        assert!(!verify("correct horse", None).await);
        // As slow as those of accounts.
        let (parameters, _) = hash.rsplit_once("p=1$").unwrap();
        assert!(NOBODYS.starts_with(parameters));
    }
}
