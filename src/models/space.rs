//! How many bytes all models may have together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes taken, by files that are there and by uploads under way. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Space {
    taken: Arc<AtomicU64>,
    bytes_max: u64,
}

/// There is not enough space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all models together would have too many bytes")]
pub(super) struct QuotaExceeded;

/// Bytes of an upload; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    space: Space,
    bytes: u64,
}

impl Space {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            taken: Arc::default(),
            bytes_max,
        }
    }

    /// Nothing yet.
    pub(super) fn reserve(&self) -> Reserved {
        Reserved {
            space: self.clone(),
            bytes: 0,
        }
    }

    /// Counts files that are there, whether they fit or not.
    pub(super) fn take(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn release(&self, bytes: u64) {
        self.taken.fetch_sub(bytes, Ordering::AcqRel);
    }
}

impl Reserved {
    /// Reserves up to `bytes` in all; it never becomes less.
    pub(super) fn grow_to(&mut self, bytes: u64) -> Result<(), QuotaExceeded> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let bytes_max = self.space.bytes_max;
        let grown = self
            .space
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                taken.checked_add(more).filter(|sum| *sum <= bytes_max)
            });
        grown.map_err(|_full| QuotaExceeded)?;
        self.bytes = bytes;
        Ok(())
    }

    /// The file stays; says how many bytes are counted for it.
    pub(super) fn keep(mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.space.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_given_back_unless_it_is_kept() {
        let space = Space::new(100);
        let mut one = space.reserve();
        one.grow_to(60).unwrap();
        one.grow_to(10).unwrap();
        let mut other = space.reserve();
        assert_eq!(other.grow_to(41), Err(QuotaExceeded));
        other.grow_to(40).unwrap();
        drop(one);
        other.grow_to(100).unwrap();
        assert_eq!(other.keep(), 100);
        assert_eq!(space.reserve().grow_to(1), Err(QuotaExceeded));
        space.release(100);
        space.reserve().grow_to(100).unwrap();
    }

    #[test]
    fn more_than_there_can_be_is_refused() {
        let space = Space::new(u64::MAX);
        space.take(1);
        assert_eq!(space.reserve().grow_to(u64::MAX), Err(QuotaExceeded));
    }
}
