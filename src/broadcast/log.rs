//! The last messages of each topic, for clients that come back.
//!
//! A log knows from where on it is complete, so a replay is whole or does not happen.

use super::outgoing::Outgoing;
use crate::domain::{StreamId, Topic, TopicSet};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Bounds of the log of each topic.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    pub messages_max: usize,
    pub age_max: Duration,
}

/// A bounded log of the last messages of each topic.
#[derive(Debug)]
pub(super) struct ReplayLog {
    topics: [TopicLog; Topic::COUNT - 1],
    limits: LogLimits,
    /// After which messages everything is needed, and by how many: it is not forgotten meanwhile.
    holds: BTreeMap<StreamId, usize>,
}

#[derive(Debug)]
struct TopicLog {
    messages: VecDeque<Arc<Outgoing>>,
    /// Every message after this one is in the log.
    complete_since: StreamId,
}

impl ReplayLog {
    /// An empty log, complete from `position` on.
    pub(super) fn new(limits: LogLimits, position: StreamId) -> Self {
        Self {
            topics: std::array::from_fn(|_| TopicLog {
                messages: VecDeque::new(),
                complete_since: position,
            }),
            limits,
            holds: BTreeMap::new(),
        }
    }

    /// Takes in the next message of the stream.
    pub(super) fn push(&mut self, message: Arc<Outgoing>) {
        let Some(log) = self.topics.get_mut(message.topic as usize) else {
            return;
        };
        log.messages.push_back(message);
        let held = self.holds.keys().next();
        log.shorten(self.limits.messages_max, held);
    }

    /// Keeps everything after `since`, however much it is, until [`ReplayLog::release`].
    pub(super) fn hold(&mut self, since: StreamId) {
        *self.holds.entry(since).or_default() += 1;
    }

    pub(super) fn release(&mut self, since: StreamId) {
        if let Some(count) = self.holds.get_mut(&since) {
            *count -= 1;
            if *count == 0 {
                self.holds.remove(&since);
            }
        }
        let held = self.holds.keys().next();
        for log in &mut self.topics {
            log.shorten(self.limits.messages_max, held);
        }
    }

    /// What was published of a topic up to `position` is told to nobody any more, except where it is held.
    pub(super) fn outdate(&mut self, topic: Topic, position: StreamId) {
        if let Some(log) = self.topics.get_mut(topic as usize) {
            log.complete_since = log.complete_since.max(position);
        }
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: Instant) {
        let held = self.holds.keys().next();
        for log in &mut self.topics {
            while let Some(first) = log.messages.front()
                && now.duration_since(first.published_at) > self.limits.age_max
                && held.is_none_or(|held| first.id <= *held)
            {
                log.forget_first();
            }
            if log.messages.capacity() > 4 * log.messages.len() {
                log.messages.shrink_to(2 * log.messages.len());
            }
        }
    }

    /// Whether everything of `topics` after `since` is here.
    pub(super) fn is_complete(&self, topics: TopicSet, since: StreamId) -> bool {
        self.chosen(topics).all(|log| since >= log.complete_since)
    }

    /// The messages of `topics` after `since`, in order.
    pub(super) fn after(&self, topics: TopicSet, since: StreamId) -> Vec<Arc<Outgoing>> {
        let mut messages: Vec<_> = self
            .chosen(topics)
            .flat_map(|log| {
                let first = log.messages.partition_point(|message| message.id <= since);
                log.messages.range(first..).map(Arc::clone)
            })
            .collect();
        messages.sort_unstable_by_key(|message| message.id);
        messages
    }

    fn chosen(&self, topics: TopicSet) -> impl Iterator<Item = &TopicLog> {
        Topic::EVERY
            .into_iter()
            .zip(&self.topics)
            .filter(move |(topic, _)| topics.wants(*topic))
            .map(|(_, log)| log)
    }
}

impl TopicLog {
    /// Forgets what is more than `messages_max`, but for what comes after the message `held`.
    fn shorten(&mut self, messages_max: usize, held: Option<&StreamId>) {
        while self.messages.len() > messages_max
            && let Some(first) = self.messages.front()
            && held.is_none_or(|held| first.id <= *held)
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(first) = self.messages.pop_front() {
            self.complete_since = self.complete_since.max(first.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broadcast::outgoing::test_support::notice;

    fn id(sequence: u64) -> StreamId {
        StreamId { epoch: 1, sequence }
    }

    fn log(messages_max: usize) -> ReplayLog {
        let limits = LogLimits {
            messages_max,
            age_max: Duration::from_mins(1),
        };
        let mut log = ReplayLog::new(limits, id(0));
        for (sequence, topic) in [
            (1, Topic::Alerts),
            (2, Topic::System),
            (3, Topic::Alerts),
            (4, Topic::Alerts),
        ] {
            log.push(Arc::new(notice(id(sequence), topic)));
        }
        log
    }

    fn only(topic: Topic) -> TopicSet {
        TopicSet::EMPTY.with(topic)
    }

    fn sequences(messages: &[Arc<Outgoing>]) -> Vec<u64> {
        messages.iter().map(|message| message.id.sequence).collect()
    }

    #[test]
    fn a_replay_has_what_came_after_of_the_topics_asked_for_in_order() {
        let log = log(10);
        assert_eq!(sequences(&log.after(only(Topic::All), id(1))), [2, 3, 4]);
        assert_eq!(sequences(&log.after(only(Topic::Alerts), id(1))), [3, 4]);
        assert_eq!(sequences(&log.after(only(Topic::Alerts), id(4))), [0; 0]);
        assert!(log.is_complete(only(Topic::All), id(0)));
    }

    #[test]
    fn a_log_that_has_forgotten_says_so_for_its_topic_only() {
        let log = log(2);
        assert!(!log.is_complete(only(Topic::Alerts), id(0)));
        assert!(log.is_complete(only(Topic::Alerts), id(1)));
        assert!(log.is_complete(only(Topic::System), id(0)));
        assert!(!log.is_complete(only(Topic::All), id(0)));
        let earlier = StreamId {
            epoch: 0,
            sequence: 99,
        };
        assert!(!log.is_complete(only(Topic::System), earlier));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_not_forgotten_until_it_is_released() {
        let mut log = log(2);
        log.hold(id(4));
        log.hold(id(6));
        for sequence in 5..10 {
            log.push(Arc::new(notice(id(sequence), Topic::Alerts)));
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        log.expire(Instant::now());
        let kept = |log: &ReplayLog| sequences(&log.after(only(Topic::Alerts), id(0)));
        assert_eq!(kept(&log), [5, 6, 7, 8, 9]);
        log.release(id(4));
        assert_eq!(kept(&log), [7, 8, 9]);
        log.release(id(6));
        assert_eq!(kept(&log), [8, 9]);
        assert!(log.is_complete(only(Topic::Alerts), id(7)));
        assert!(!log.is_complete(only(Topic::Alerts), id(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn old_messages_are_forgotten() {
        let mut log = log(10);
        tokio::time::advance(Duration::from_secs(61)).await;
        log.push(Arc::new(notice(id(5), Topic::Alerts)));
        log.expire(Instant::now());
        assert_eq!(sequences(&log.after(only(Topic::All), id(0))), [5]);
        assert!(!log.is_complete(only(Topic::System), id(1)));
        assert!(log.is_complete(only(Topic::System), id(2)));
        assert!(log.is_complete(only(Topic::Alerts), id(4)));
    }
}
