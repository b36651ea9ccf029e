//! Webhooks whose addition was begun and is not told yet.
//!
//! When the database fails, or whoever asked is gone, nobody gets to know the secret, though the webhook
//! may be in the database. So it is not delivered to, and goes again.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The additions of this process that have not come to a good end. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Additions(Arc<Mutex<FxHashMap<String, State>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    /// Nobody will be told.
    Abandoned,
}

/// An addition under way; abandoned when it is dropped.
#[derive(Debug)]
pub(super) struct Addition {
    all: Additions,
    id: String,
}

impl Additions {
    pub(super) fn begin(&self, id: &str) -> Addition {
        self.0.lock().insert(id.to_owned(), State::UnderWay);
        Addition {
            all: self.clone(),
            id: id.to_owned(),
        }
    }

    /// Whether nobody was told of a webhook.
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.lock().contains_key(id)
    }

    pub(super) fn abandoned(&self) -> Vec<String> {
        let all = self.0.lock();
        let abandoned = all.iter().filter(|(_, state)| **state == State::Abandoned);
        abandoned.map(|(id, _)| id.clone()).collect()
    }

    /// They are gone.
    pub(super) fn forget(&self, ids: &[String]) {
        let mut all = self.0.lock();
        for id in ids {
            all.remove(id);
        }
    }
}

impl Addition {
    /// Whoever asked gets to know.
    pub(super) fn tell(self) {
        self.all.0.lock().remove(&self.id);
    }
}

impl Drop for Addition {
    fn drop(&mut self) {
        if let Some(state) = self.all.0.lock().get_mut(&self.id) {
            *state = State::Abandoned;
        }
    }
}
