//! Who wants a message, found without asking every client.
//!
//! Clients that want whole topics and nothing else stand in groups: all of a group get the same
//! bytes. Every other subscription stands under its topic and filter, and because a filter compares
//! for equality only, a message finds them by asking for each combination of its own site, room and
//! sensor: at most eight for its topic and eight for `all`, however many clients there are.

use super::interest::{Group, Interest};
use crate::domain::Topic;
use crate::domain::{Selector, Subject};
use indexmap::{Equivalent, IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;
use std::hash::{Hash, Hasher};

/// Number of a client in its shard.
pub(super) type ClientKey = usize;

type Clients = IndexSet<ClientKey, FxBuildHasher>;
type Map<K> = IndexMap<K, Clients, FxBuildHasher>;

/// The inverted index from topics and filters to clients.
#[derive(Debug, Default)]
pub(super) struct Index {
    groups: Map<Group>,
    chosen: Map<Choice>,
    /// How many filters of each form there are, so that forms nobody uses are not looked up.
    forms: [[usize; Form::COUNT]; Topic::COUNT],
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    topic: Topic,
    filter: Selector,
}

/// A [`Choice`] that owns nothing.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    topic: Topic,
    subject: Subject<'a>,
}

/// Which fields a filter has, one bit each.
#[derive(Debug, Clone, Copy)]
struct Form(usize);

impl Form {
    const COUNT: usize = 8;

    fn of(filter: &Selector) -> Self {
        Self(
            usize::from(filter.site.is_some())
                | usize::from(filter.room.is_some()) << 1
                | usize::from(filter.sensor.is_some()) << 2,
        )
    }

    /// What of the subject a filter of this form compares; `None` when the subject lacks some.
    fn part(self, subject: Subject<'_>) -> Option<Subject<'_>> {
        let take = |bit: usize, is| match is {
            None if self.0 & bit != 0 => Err(()),
            is => Ok(is.filter(|_| self.0 & bit != 0)),
        };
        Some(Subject {
            site: take(1, subject.site).ok()?,
            room: take(2, subject.room).ok()?,
            sensor: take(4, subject.sensor).ok()?,
        })
    }
}

impl Index {
    pub(super) fn add(&mut self, client: ClientKey, interest: &Interest) {
        if let Some(group) = interest.group() {
            self.groups.entry(group).or_default().insert(client);
            return;
        }
        for (topic, filter) in interest.subscriptions() {
            self.forms[topic as usize][Form::of(filter).0] += 1;
            let choice = Choice {
                topic,
                filter: filter.clone(),
            };
            self.chosen.entry(choice).or_default().insert(client);
        }
    }

    /// Takes out what was added with the same interest.
    pub(super) fn remove(&mut self, client: ClientKey, interest: &Interest) {
        if let Some(group) = interest.group() {
            take_out(&mut self.groups, &group, client);
            return;
        }
        for (topic, filter) in interest.subscriptions() {
            self.forms[topic as usize][Form::of(filter).0] -= 1;
            let choice = Wanted {
                topic,
                subject: filter.as_subject(),
            };
            take_out(&mut self.chosen, &choice, client);
        }
    }

    /// The groups and their clients.
    pub(super) fn groups(&self) -> impl Iterator<Item = (Group, &Clients)> {
        self.groups.iter().map(|(group, clients)| (*group, clients))
    }

    /// Calls `found` for the clients of no group that want a message; for some more than once.
    pub(super) fn each_chosen(
        &self,
        topic: Topic,
        subject: Subject<'_>,
        mut found: impl FnMut(ClientKey),
    ) {
        for topic in [topic, Topic::All] {
            let forms = self.forms[topic as usize].iter().enumerate();
            for (form, _) in forms.filter(|(_, count)| **count > 0) {
                let clients = Form(form)
                    .part(subject)
                    .and_then(|subject| self.chosen.get(&Wanted { topic, subject }));
                for client in clients.into_iter().flatten() {
                    found(*client);
                }
            }
        }
    }
}

fn take_out<K: Hash + Eq, Q: Hash + Equivalent<K> + ?Sized>(
    map: &mut Map<K>,
    key: &Q,
    client: ClientKey,
) {
    if let Some(clients) = map.get_mut(key) {
        clients.swap_remove(&client);
        if clients.is_empty() {
            map.swap_remove(key);
        }
    }
}

impl Hash for Choice {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let wanted = Wanted {
            topic: self.topic,
            subject: self.filter.as_subject(),
        };
        wanted.hash(state);
    }
}

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Subject { site, room, sensor } = self.subject;
        (self.topic, site, room, sensor).hash(state);
    }
}

impl Equivalent<Choice> for Wanted<'_> {
    fn equivalent(&self, choice: &Choice) -> bool {
        self.topic == choice.topic && self.subject == choice.filter.as_subject()
    }
}

#[cfg(test)]
mod tests;
