//! How long the log is, in memory, so that trimming it takes no counting.

use crate::domain::StreamId;
use std::collections::VecDeque;

/// How much of the stream is kept to be told again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Readings published last that are there at least. Somewhat more are, because they go in
    /// chunks; with 0 all those go that are settled.
    pub readings_kept: usize,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self {
            readings_kept: 100_000,
        }
    }
}

/// Most readings of a chunk that was put together from smaller ones.
const CHUNK_READINGS_MAX: usize = 4096;
/// Chunks the readings to keep are divided in, when they are not too large then.
const CHUNKS: usize = 64;
/// Readings that go at once, together with the rest of their chunk, when many more are there than are
/// to be kept, as after a change of the setting: it bounds the pause.
const TRIM_READINGS_MAX: usize = 4 * CHUNK_READINGS_MAX;

/// The log as a row of chunks, the oldest first.
#[derive(Debug)]
pub(super) struct LogExtent {
    limits: ReplayLimits,
    chunk_readings: usize,
    readings: usize,
    chunks: VecDeque<Chunk>,
}

/// Commits whose readings go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    last: StreamId,
    readings: usize,
}

impl LogExtent {
    pub(super) fn new(limits: ReplayLimits) -> Self {
        Self {
            limits,
            chunk_readings: (limits.readings_kept / CHUNKS).clamp(1, CHUNK_READINGS_MAX),
            readings: 0,
            chunks: VecDeque::new(),
        }
    }

    /// Of the log as it is in the database.
    pub(super) fn of(limits: ReplayLimits, sizes: &[(StreamId, u32)]) -> Self {
        let mut log = Self::new(limits);
        for (last, readings) in sizes {
            log.append(*last, *readings as usize);
        }
        log
    }

    pub(super) fn limits(&self) -> ReplayLimits {
        self.limits
    }

    pub(super) fn readings(&self) -> usize {
        self.readings
    }

    /// How many readings come behind `position`, to within a chunk.
    pub(super) fn readings_behind(&self, position: StreamId) -> usize {
        let newest_first = self.chunks.iter().rev();
        let behind = newest_first.take_while(|chunk| chunk.last > position);
        behind.map(|chunk| chunk.readings).sum()
    }

    /// Takes over a commit that has come to the end of the log.
    pub(super) fn append(&mut self, last: StreamId, readings: usize) {
        self.readings += readings;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.readings + readings <= self.chunk_readings => {
                chunk.last = last;
                chunk.readings += readings;
            }
            _ => self.chunks.push_back(Chunk { last, readings }),
        }
    }

    /// The last id up to `settled_to` that is not needed any more, when there is one.
    pub(super) fn surplus_to(&self, settled_to: StreamId) -> Option<StreamId> {
        let mut readings = 0;
        let surplus = self.chunks.iter().take_while(|chunk| {
            let goes = readings < TRIM_READINGS_MAX
                && chunk.last <= settled_to
                && readings + chunk.readings + self.limits.readings_kept <= self.readings;
            readings += chunk.readings;
            goes
        });
        surplus.last().map(|chunk| chunk.last)
    }

    /// Takes over that the readings up to `last` are gone.
    pub(super) fn trimmed(&mut self, last: StreamId) {
        while let Some(chunk) = self.chunks.front()
            && chunk.last <= last
        {
            self.readings -= chunk.readings;
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    const ALL: StreamId = StreamId {
        epoch: 1,
        sequence: u64::MAX,
    };

    fn id(sequence: u64) -> StreamId {
        StreamId { epoch: 1, sequence }
    }

    fn log(readings_kept: usize) -> LogExtent {
        LogExtent::new(ReplayLimits { readings_kept })
    }

    fn trim(log: &mut LogExtent) -> Option<u64> {
        let to = log.surplus_to(ALL)?;
        log.trimmed(to);
        Some(to.sequence)
    }

    #[test]
    fn whole_chunks_go_as_long_as_enough_readings_stay() {
        let mut log = log(10);
        for (last, readings) in [(4, 4), (9, 5), (10, 1), (19, 9)] {
            log.append(id(last), readings);
        }
        assert_eq!(trim(&mut log), Some(9));
        assert_eq!(trim(&mut log), None);
        assert_eq!(log.readings, 10);
        assert_eq!(log.readings_behind(id(9)), 10);
        assert_eq!(log.readings_behind(id(10)), 9);
        assert_eq!(log.readings_behind(id(19)), 0);
        log.append(id(30), 10);
        assert_eq!((trim(&mut log), log.readings), (Some(19), 10));
    }

    #[test]
    fn what_is_not_settled_stays() {
        let mut log = log(0);
        for last in 1..=5 {
            log.append(id(last), 1);
        }
        assert_eq!(log.surplus_to(id(0)), None);
        assert_eq!(log.surplus_to(id(3)), Some(id(3)));
    }

    #[test]
    fn nothing_stays_when_nothing_is_to_be_kept() {
        let mut log = log(0);
        assert_eq!(trim(&mut log), None);
        log.append(id(1), 1);
        log.append(id(7), 3);
        assert_eq!((trim(&mut log), log.readings), (Some(7), 0));
    }

    #[test]
    fn small_commits_share_a_chunk() {
        let mut log = log(640);
        for last in 1..=640 {
            log.append(id(last), 1);
        }
        assert_eq!(log.chunks.len(), 64);
        log.append(id(641), 1);
        assert_eq!(trim(&mut log), None);
        for last in 642..=650 {
            log.append(id(last), 1);
        }
        assert_eq!((trim(&mut log), log.readings), (Some(10), 640));
    }

    #[test]
    fn many_readings_too_many_go_in_several_turns() {
        let mut log = log(0);
        for last in 1..=40 {
            log.append(id(last), 1000);
        }
        assert_eq!(trim(&mut log), Some(17));
        assert_eq!(trim(&mut log), Some(34));
        assert_eq!((trim(&mut log), trim(&mut log)), (Some(40), None));
    }
}
