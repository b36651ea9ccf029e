//! Positions in the stream.

use std::fmt;
use std::str::FromStr;

/// Position in the stream of published messages; grows for ever, across restarts too.
///
/// On the wire it is `epoch-sequence`, in a database one integer: see [`StreamId::to_i64`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// Number of this start of the server, from 1 to [`StreamId::EPOCH_MAX`].
    pub epoch: u64,
    /// Number of the message since then, from 1 to [`StreamId::SEQUENCE_MAX`]; 0 is the beginning of
    /// the epoch, before its first message.
    pub sequence: u64,
}

/// Bits of a packed id that hold the sequence; the others but the sign hold the epoch.
const SEQUENCE_BITS: u32 = 40;

impl StreamId {
    /// Last number of a start: a server that starts every minute comes there after 15 years.
    pub const EPOCH_MAX: u64 = (1 << (63 - SEQUENCE_BITS)) - 1;
    /// Last message of an epoch: 1 000 a second come there after 34 years. Nothing is given out
    /// behind it: readings and notices are refused then, until the next start.
    pub const SEQUENCE_MAX: u64 = (1 << SEQUENCE_BITS) - 1;

    /// `epoch * 2^40 + sequence`, so that the order of the integers is that of the ids.
    ///
    /// A sequence beyond its bound becomes the last of its epoch, never one of the next; an epoch
    /// beyond its bound becomes the last id there is.
    pub fn to_i64(self) -> i64 {
        if self.epoch > Self::EPOCH_MAX {
            return i64::MAX;
        }
        let packed = self.epoch << SEQUENCE_BITS | self.sequence.min(Self::SEQUENCE_MAX);
        // The sign bit is clear.
        packed.cast_signed()
    }

    /// The id that was packed; `None` when the integer is negative, which no id becomes.
    pub fn from_i64(packed: i64) -> Option<Self> {
        let packed = u64::try_from(packed).ok()?;
        Some(Self {
            epoch: packed >> SEQUENCE_BITS,
            sequence: packed & Self::SEQUENCE_MAX,
        })
    }

    /// The id `count` messages on in the same epoch.
    pub(crate) fn plus(self, count: u64) -> Self {
        Self {
            sequence: self.sequence.saturating_add(count),
            ..self
        }
    }

    /// The id `count` messages back in the same epoch; `None` when it has not as many.
    pub(crate) fn minus(self, count: u64) -> Option<Self> {
        Some(Self {
            sequence: self.sequence.checked_sub(count)?,
            ..self
        })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.epoch, self.sequence)
    }
}

/// A text that no id is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be two numbers with a hyphen between them, as in 3-17")]
pub struct StreamIdError;

impl FromStr for StreamId {
    type Err = StreamIdError;

    /// Reads exactly what `Display` writes, within the bounds: no signs, spaces or leading zeros.
    fn from_str(text: &str) -> Result<Self, StreamIdError> {
        let (epoch, sequence) = text.split_once('-').ok_or(StreamIdError)?;
        Ok(Self {
            epoch: number(epoch, Self::EPOCH_MAX)?,
            sequence: number(sequence, Self::SEQUENCE_MAX)?,
        })
    }
}

fn number(digits: &str, max: u64) -> Result<u64, StreamIdError> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (digits.len() > 1 && digits.starts_with('0')) {
        return Err(StreamIdError);
    }
    match digits.parse() {
        Ok(number) if number <= max => Ok(number),
        _ => Err(StreamIdError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_id() -> impl Strategy<Value = StreamId> {
        // Small numbers too, so that ids of one epoch meet.
        let epoch = prop_oneof![0..4_u64, 0..=StreamId::EPOCH_MAX];
        let sequence = prop_oneof![0..4_u64, 0..=StreamId::SEQUENCE_MAX];
        (epoch, sequence).prop_map(|(epoch, sequence)| StreamId { epoch, sequence })
    }

    proptest! {
        #[test]
        fn packing_keeps_ids_and_their_order(a in any_id(), b in any_id()) {
            prop_assert_eq!(StreamId::from_i64(a.to_i64()), Some(a));
            prop_assert_eq!(a.to_i64().cmp(&b.to_i64()), a.cmp(&b));
        }

        #[test]
        fn what_is_written_is_read(id in any_id()) {
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "[0-9+ -]{0,6}") {
            if let Ok(id) = text.parse::<StreamId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn ids_beyond_the_bounds_stay_in_order() {
        let id = |epoch, sequence| StreamId { epoch, sequence };
        assert_eq!(id(3, 17).to_i64(), 3 * (1 << 40) + 17);
        let last = id(3, StreamId::SEQUENCE_MAX).to_i64();
        assert_eq!(id(3, u64::MAX).to_i64(), last);
        assert_eq!(last + 1, id(4, 0).to_i64());
        let end = id(StreamId::EPOCH_MAX, StreamId::SEQUENCE_MAX).to_i64();
        assert_eq!((end, id(u64::MAX, 0).to_i64()), (i64::MAX, i64::MAX));
        assert_eq!(StreamId::from_i64(-1), None);
    }

    #[test]
    fn going_back_stays_in_the_epoch() {
        let id = |sequence| StreamId { epoch: 3, sequence };
        assert_eq!(id(17).minus(17), Some(id(0)));
        assert_eq!(id(17).minus(18), None);
        assert_eq!(id(17).minus(5).map(|id| id.plus(5)), Some(id(17)));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "-",
            "3",
            "3-",
            "-17",
            "3-17-1",
            "3--17",
            "+3-17",
            "3-+17",
            " 3-17",
            "3-17\n",
            "03-17",
            "3-017",
            "3-00",
            "3-x",
            "٣-17",
            "8388608-0",
            "3-1099511627776",
            "99999999999999999999-1",
        ] {
            assert_eq!(text.parse::<StreamId>(), Err(StreamIdError), "{text:?}");
        }
        assert!("8388607-1099511627775".parse::<StreamId>().is_ok());
        assert!("3-0".parse::<StreamId>().is_ok());
    }
}
