//! Random secrets, and what is kept of them.
//!
//! They have 256 bits of the system's randomness, so a fast hash is enough to keep: nobody can try
//! them out. Passwords of people are another matter (`password`).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::RngCore;
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use subtle::ConstantTimeEq;

/// Characters of a secret as text.
pub(crate) const SECRET_LENGTH: usize = 43;

/// 32 random bytes.
pub(crate) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.unwrap_err().fill_bytes(&mut bytes);
    bytes
}

/// A new secret, in base64url.
pub(crate) fn random_secret() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(random_bytes())
}

/// A new name for something, in hexadecimal; not a secret.
pub(crate) fn random_id<const BYTES: usize>() -> String {
    let random = random_bytes();
    hex(random.get(..BYTES).unwrap_or(&random))
}

/// What is kept of a secret.
pub(crate) fn fingerprint(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Whether `secret` has this fingerprint, in a time that does not tell how much of it is right.
pub(crate) fn has_fingerprint(secret: &str, expected: &str) -> bool {
    fingerprint(secret)
        .as_bytes()
        .ct_eq(expected.as_bytes())
        .into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_fingerprint_only() {
        let (secret, other) = (random_secret(), random_secret());
        assert_eq!(secret.len(), SECRET_LENGTH);
        let kept = fingerprint(&secret);
        assert!(!kept.contains(&secret) && kept.len() == 64);
        assert!(has_fingerprint(&secret, &kept) && !has_fingerprint(&other, &kept));
    }

    #[test]
    fn ids_have_the_length_asked_for() {
        assert_eq!(random_id::<6>().len(), 12);
        assert_ne!(random_id::<6>(), random_id::<6>());
    }
}
