//! Numbers and times that make sense: beyond these something would run over, long after the start.

use clap::builder::RangedU64ValueParser;
use std::time::Duration;

/// Longer than anybody waits, and far from where sums of times run over.
const DURATION_MAX: Duration = Duration::from_hours(100 * 365 * 24);
/// Things that are counted.
pub(super) const COUNT_MAX: u64 = 1 << 32;
/// Bytes of memory.
pub(super) const BYTES_MAX: u64 = 1 << 40;
/// Bytes of one message or body, which is in memory as a whole.
pub(super) const MESSAGE_BYTES_MAX: u64 = 1 << 30;
/// Threads: as many as the HTTP library can have.
pub(super) const THREADS_MAX: u64 = 512;

/// A number up to `max`.
pub(super) fn up_to(max: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(..=max)
}

/// A time with its unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > DURATION_MAX {
        return Err("must be at most 100 years".to_owned());
    }
    Ok(duration)
}
