//! Turns time spans into bounds of a query, so that no chunk is read twice.

use super::Span;

/// A span, and where the one before it of the same sensor ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lookup {
    pub(super) sensor: i64,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    /// Chunks that start before this time overlap the previous span of the sensor too, and were read with
    /// it. So this lookup reads only chunks that start at this time or later.
    pub(super) from_ms: i64,
}

/// By sensor and time, so that chunks come in this order. Spans that hold no time are left out.
pub(super) fn lookups(spans: &[Span]) -> Vec<Lookup> {
    let mut lookups: Vec<_> = spans
        .iter()
        .filter(|span| span.first <= span.last)
        .map(|span| Lookup {
            sensor: span.sensor.0,
            first_ms: span.first.millis(),
            last_ms: span.last.millis(),
            from_ms: i64::MIN,
        })
        .collect();
    lookups.sort_unstable_by_key(|lookup| (lookup.sensor, lookup.first_ms));
    let mut before: Option<Lookup> = None;
    for lookup in &mut lookups {
        if let Some(before) = before
            && before.sensor == lookup.sensor
        {
            lookup.from_ms = before.last_ms.saturating_add(1);
        }
        before = Some(*lookup);
    }
    lookups
}
