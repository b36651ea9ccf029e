//! What is kept of the past: the readings themselves and four roll-ups of them.

use crate::domain::Timestamp;

/// One resolution of the past. Each but the first is made of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Series {
    Readings,
    Minutes,
    QuarterHours,
    Hours,
    Days,
}

impl Series {
    /// Every series, the finest first.
    pub const ALL: [Self; 5] = [
        Self::Readings,
        Self::Minutes,
        Self::QuarterHours,
        Self::Hours,
        Self::Days,
    ];

    /// Number in the database.
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// Width of its buckets, which are aligned to the epoch; 1 for readings, which have none.
    pub const fn width_ms(self) -> i64 {
        match self {
            Self::Readings => 1,
            Self::Minutes => 60_000,
            Self::QuarterHours => 15 * 60_000,
            Self::Hours => 60 * 60_000,
            Self::Days => 24 * 60 * 60_000,
        }
    }

    /// Most rows of one chunk in the database.
    pub(crate) const fn chunk_rows_max(self) -> usize {
        match self {
            Self::Readings => 1024,
            _ => 256,
        }
    }

    /// The roll-up that is made of this series.
    pub const fn coarser(self) -> Option<Self> {
        match self {
            Self::Readings => Some(Self::Minutes),
            Self::Minutes => Some(Self::QuarterHours),
            Self::QuarterHours => Some(Self::Hours),
            Self::Hours => Some(Self::Days),
            Self::Days => None,
        }
    }

    /// The series this roll-up is made of.
    pub const fn finer(self) -> Option<Self> {
        match self {
            Self::Readings => None,
            Self::Minutes => Some(Self::Readings),
            Self::QuarterHours => Some(Self::Minutes),
            Self::Hours => Some(Self::QuarterHours),
            Self::Days => Some(Self::Hours),
        }
    }

    /// Start of the bucket that holds `at`.
    pub fn start(self, at: Timestamp) -> Timestamp {
        let millis = at.millis();
        Timestamp::from_millis(millis - millis.rem_euclid(self.width_ms()))
    }
}
