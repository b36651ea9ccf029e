//! What one client has subscribed to.

use super::encoding::Encoding;
use super::filter::{Filter, Subject};
use super::index::Group;
use crate::domain::{Topic, TopicSet};

/// Topics and filters of a client, and in which form it gets messages.
#[derive(Debug, Clone)]
pub(super) struct Interest {
    /// Topics of which everything is wanted.
    pub(super) topics: TopicSet,
    /// Topics of which only what matches the filter is wanted.
    filtered: Vec<(Topic, Filter)>,
    pub(super) encoding: Encoding,
    /// Measurements are thinned out for this client alone, so it shares no bytes with others.
    pub(super) paced: bool,
}

static OPEN: Filter = Filter {
    enseigne: None,
    salle: None,
    sensor_id: None,
};

impl Interest {
    pub(super) fn new(topics: TopicSet, encoding: Encoding) -> Self {
        Self {
            topics,
            filtered: Vec::new(),
            encoding,
            paced: false,
        }
    }

    pub(super) fn add(&mut self, topics: &[Topic], filter: &Filter) {
        for topic in topics {
            if filter.is_open() {
                self.topics = self.topics.with(*topic);
                self.filtered.retain(|(known, _)| known != topic);
            } else if !self.filtered.contains(&(*topic, filter.clone())) {
                self.filtered.push((*topic, filter.clone()));
            }
        }
        self.filtered.shrink_to_fit();
    }

    pub(super) fn remove(&mut self, topics: &[Topic]) {
        for topic in topics {
            self.topics = self.topics.without(*topic);
            self.filtered.retain(|(known, _)| known != topic);
        }
        self.filtered.shrink_to_fit();
    }

    pub(super) fn filter_count(&self) -> usize {
        self.filtered.len()
    }

    /// Everything subscribed to, filtered or not.
    pub(super) fn all_topics(&self) -> TopicSet {
        self.filtered
            .iter()
            .fold(self.topics, |topics, (topic, _)| topics.with(*topic))
    }

    /// The group of clients that get the same as this one; `None` when that depends on the message.
    pub(super) fn group(&self) -> Option<Group> {
        let whole = self.filtered.is_empty() && !self.paced;
        whole.then_some(Group {
            topics: self.topics,
            encoding: self.encoding,
        })
    }

    /// Every topic and what of it is wanted.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = (Topic, &Filter)> {
        let open = self.topics.iter().map(|topic| (topic, &OPEN));
        open.chain(self.filtered.iter().map(|(topic, filter)| (*topic, filter)))
    }

    /// Whether a message of `topic` about `subject` is wanted.
    pub(super) fn wants(&self, topic: Topic, subject: Subject<'_>) -> bool {
        self.topics.wants(topic)
            || self.filtered.iter().any(|(wanted, filter)| {
                (*wanted == topic || *wanted == Topic::All) && filter.matches(subject)
            })
    }
}
