//! How a receiver knows that a delivery is ours.

use crate::access::hex;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// `sha256=` and the HMAC-SHA256 of `timestamp.body` in hexadecimal. The key is the text of the secret
/// as it was shown. The time is in it so that an old delivery cannot be sent again as a new one.
pub(super) fn signature(secret: &str, timestamp_s: i64, body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        // HMAC takes keys of every length.
        return String::new();
    };
    mac.update(timestamp_s.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_what_openssl_says() {
        // printf '1700000000.{"type":"test"}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature("secret", 1_700_000_000, br#"{"type":"test"}"#),
            "sha256=5164242d2d7c1061af198b4bfea622c8f5aeec1b9276e38d50a14d7f9dd39bee"
        );
    }

    proptest! {
        #[test]
        fn whatever_changes_it_is_another(body: Vec<u8>, at in 0..i64::MAX, secret in "[a-z]{43}") {
            let one = signature(&secret, at, &body);
            let mut longer = body.clone();
            longer.push(0);
            prop_assert_ne!(&one, &signature(&secret, at, &longer));
            prop_assert_ne!(&one, &signature(&secret, at - 1, &body));
            prop_assert_ne!(&one, &signature(&format!("{secret}x"), at, &body));
            prop_assert_eq!(&one, &signature(&secret, at, &body));
        }
    }
}
