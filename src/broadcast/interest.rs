//! What one client has subscribed to.

use super::encoding::Encoding;
use super::outgoing::Outgoing;
use super::renaming::Renaming;
use crate::domain::{Selector, Subject};
use crate::domain::{StreamId, Topic, TopicSet};
use crate::store::Renamed;

/// Topics and filters of a client, and in which form it gets messages.
#[derive(Debug, Clone)]
pub(super) struct Interest {
    /// Topics of which everything is wanted.
    pub(super) topics: TopicSet,
    /// For each of them the message after which the client has been sent everything.
    whole: Vec<(Topic, StreamId)>,
    /// Topics of which only what matches the filter is wanted, and since when.
    filtered: Vec<(Topic, Selector, StreamId)>,
    pub(super) encoding: Encoding,
    /// Measurements are thinned out for this client alone, so it shares no bytes with others.
    pub(super) paced: bool,
}

/// What the clients of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Group {
    pub(super) topics: TopicSet,
    pub(super) encoding: Encoding,
}

/// Most filters of one client, those included that names of before lead to.
const FILTERS_MAX: usize = 256;

static OPEN: Selector = Selector::OPEN;

impl Interest {
    /// A subscription to everything of `topics`, from the message after `since`.
    pub(super) fn new(topics: TopicSet, encoding: Encoding, since: StreamId) -> Self {
        Self {
            topics,
            whole: topics.iter().map(|topic| (topic, since)).collect(),
            filtered: Vec::new(),
            encoding,
            paced: false,
        }
    }

    /// Adds what the client gets, or has got, after the message `since`.
    pub(super) fn add(&mut self, topics: &[Topic], filter: &Selector, since: StreamId) {
        for topic in topics {
            if filter.is_open() {
                self.filtered.retain(|(known, ..)| known != topic);
                match self.whole.iter_mut().find(|(known, _)| known == topic) {
                    Some((_, known)) => *known = since.min(*known),
                    None => self.whole.push((*topic, since)),
                }
                self.topics = self.topics.with(*topic);
                continue;
            }
            let same =
                |(known, by, _): &&mut (Topic, Selector, StreamId)| known == topic && by == filter;
            match self.filtered.iter_mut().find(same) {
                Some((_, _, known)) => *known = since.min(*known),
                None => self.filtered.push((*topic, filter.clone(), since)),
            }
        }
        self.whole.shrink_to_fit();
        self.filtered.shrink_to_fit();
    }

    /// What was asked for by a name is wanted by another name as well from now on. What of that is
    /// called otherwise at a site for which `may_see` is false is not.
    pub(super) fn rename(&mut self, renamed: &[Renamed], may_see: impl Fn(&str) -> bool) {
        for renamed in renamed {
            let named: Vec<_> = self
                .filtered
                .iter()
                .filter_map(|(topic, filter, since)| {
                    let now = filter.renamed(renamed)?;
                    Some((*topic, now, *since))
                })
                .collect();
            for (topic, filter, since) in named {
                let is_seen = filter.site.as_deref().is_none_or(&may_see);
                if is_seen && self.filtered.len() < FILTERS_MAX {
                    self.add(&[topic], &filter, since);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, topics: &[Topic]) {
        for topic in topics {
            self.topics = self.topics.without(*topic);
            self.whole.retain(|(known, _)| known != topic);
            self.filtered.retain(|(known, ..)| known != topic);
        }
    }

    pub(super) fn has_filters(&self) -> bool {
        !self.filtered.is_empty()
    }

    /// Everything subscribed to, filtered or not.
    pub(super) fn all_topics(&self) -> TopicSet {
        self.filtered
            .iter()
            .fold(self.topics, |topics, (topic, ..)| topics.with(*topic))
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
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = (Topic, &Selector)> {
        let open = self.topics.iter().map(|topic| (topic, &OPEN));
        open.chain(
            self.filtered
                .iter()
                .map(|(topic, filter, _)| (*topic, filter)),
        )
    }

    /// Whether a message of `topic` about `subject` is wanted.
    pub(super) fn wants(&self, topic: Topic, subject: Subject<'_>) -> bool {
        self.since(topic, subject).is_some()
    }

    /// Whether the client has got a message already.
    pub(super) fn has_got(&self, message: &Outgoing) -> bool {
        self.since(message.topic, message.subject())
            .is_some_and(|since| message.id > since)
    }

    /// After which message the client has got everything like this; `None` when it does not want it.
    fn since(&self, topic: Topic, subject: Subject<'_>) -> Option<StreamId> {
        let is = |wanted: &Topic| *wanted == topic || *wanted == Topic::All;
        let whole = self.whole.iter().filter(|(wanted, _)| is(wanted));
        let filtered = self
            .filtered
            .iter()
            .filter(|(wanted, filter, _)| is(wanted) && filter.matches(subject));
        whole
            .map(|(_, since)| *since)
            .chain(filtered.map(|(_, _, since)| *since))
            .min()
    }
}
