//! Name of a sensor.

use std::sync::Arc;

/// 1 to 64 characters of `A–Z a–z 0–9 . _ : -`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SensorId(Arc<str>);

/// Why a text is not a [`SensorId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SensorIdError {
    #[error("must have 1 to 64 characters")]
    Length,
    #[error("must consist of A-Z a-z 0-9 . _ : -")]
    Character,
}

impl SensorId {
    /// Longest id, in characters.
    pub const LENGTH_MAX: usize = 64;

    pub fn parse(text: &str) -> Result<Self, SensorIdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(SensorIdError::Character);
        }
        if text.is_empty() || text.len() > Self::LENGTH_MAX {
            return Err(SensorIdError::Length);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_real_devices_are_accepted() {
        for text in [
            "bureau1",
            "airgradient:84fce612eea0",
            "a.b_c-D:9",
            &"x".repeat(64),
        ] {
            assert_eq!(SensorId::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(SensorId::parse(""), Err(SensorIdError::Length));
        assert_eq!(SensorId::parse(&"x".repeat(65)), Err(SensorIdError::Length));
        for text in ["a b", "é", "a/b", "a\n", "<x>"] {
            assert_eq!(SensorId::parse(text), Err(SensorIdError::Character));
        }
    }
}
