//! The index against asking every client.

use super::*;
use crate::broadcast::encoding::Encoding;
use crate::domain::StreamId;
use crate::domain::TopicSet;
use proptest::prelude::*;

fn topic() -> impl Strategy<Value = Topic> {
    prop::sample::select(&Topic::EVERY[..])
}

fn name(names: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(names))
}

const SITES: &[&str] = &["a", "b"];
// A room may be called like a site: fields must not be mixed up.
const ROOMS: &[&str] = &["a", "r", "s"];
const SENSORS: &[&str] = &["r", "x", "y"];

fn filter() -> impl Strategy<Value = Selector> {
    (name(SITES), name(ROOMS), name(SENSORS)).prop_map(|(site, room, sensor)| Selector {
        site: site.map(Into::into),
        room: room.map(Into::into),
        sensor: sensor.map(Into::into),
    })
}

#[derive(Debug, Clone)]
enum Step {
    Subscribe(ClientKey, Topic, Selector),
    Unsubscribe(ClientKey, Topic),
    Pace(ClientKey, bool),
    Leave(ClientKey),
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..6_usize;
    prop_oneof![
        4 => (client.clone(), topic(), filter()).prop_map(|(c, t, f)| Step::Subscribe(c, t, f)),
        1 => (client.clone(), topic()).prop_map(|(c, t)| Step::Unsubscribe(c, t)),
        1 => (client.clone(), any::<bool>()).prop_map(|(c, paced)| Step::Pace(c, paced)),
        1 => client.prop_map(Step::Leave),
    ]
}

fn found(index: &Index, topic: Topic, subject: Subject<'_>) -> Vec<ClientKey> {
    let mut found = Vec::new();
    for (_, clients) in index.groups().filter(|(it, _)| it.topics.wants(topic)) {
        found.extend(clients);
    }
    let mut chosen = Vec::new();
    index.each_chosen(topic, subject, |client| chosen.push(client));
    chosen.sort_unstable();
    chosen.dedup();
    found.extend(chosen);
    // Nobody may be both in a group and chosen.
    found.sort_unstable();
    found
}

proptest! {
    #[test]
    fn a_message_finds_exactly_the_clients_that_want_it(
        steps in prop::collection::vec(step(), 1..60),
        messages in prop::collection::vec(
            (prop::sample::select(&Topic::EVERY[..6]), name(SITES), name(ROOMS), name(SENSORS)),
            1..12,
        ),
    ) {
        let mut index = Index::default();
        let mut naive: Vec<Option<Interest>> = vec![None; 6];
        for step in steps {
            let client = match step {
                Step::Subscribe(client, ..)
                | Step::Unsubscribe(client, _)
                | Step::Pace(client, _)
                | Step::Leave(client) => client,
            };
            if let Some(interest) = &naive[client] {
                index.remove(client, interest);
            }
            if let Step::Leave(client) = step {
                naive[client] = None;
                continue;
            }
            let interest = naive[client]
                .get_or_insert_with(|| Interest::new(TopicSet::EMPTY, Encoding::Frames, StreamId::default()));
            match step {
                Step::Subscribe(_, topic, filter) => interest.add(&[topic], &filter, StreamId::default()),
                Step::Unsubscribe(_, topic) => interest.remove(&[topic]),
                Step::Pace(_, paced) => interest.paced = paced,
                Step::Leave(_) => {}
            }
            index.add(client, interest);
        }
        for (topic, site, room, sensor) in messages {
            let subject = Subject { site, room, sensor };
            let wanted: Vec<ClientKey> = naive
                .iter()
                .enumerate()
                .filter(|(_, it)| it.as_ref().is_some_and(|it| it.wants(topic, subject)))
                .map(|(client, _)| client)
                .collect();
            prop_assert_eq!(found(&index, topic, subject), wanted);
        }
        for (client, interest) in naive.iter().enumerate() {
            if let Some(interest) = interest {
                index.remove(client, interest);
            }
        }
        prop_assert!(index.groups.is_empty() && index.chosen.is_empty());
        prop_assert!(index.forms.iter().flatten().all(|count| *count == 0));
    }
}

#[test]
fn a_message_asks_for_its_receivers_and_not_for_every_client() {
    let mut index = Index::default();
    for client in 0..10_000_usize {
        let mut interest = Interest::new(TopicSet::EMPTY, Encoding::Frames, StreamId::default());
        let filter = Selector {
            room: Some(format!("room {}", client % 1000).into()),
            ..Selector::default()
        };
        interest.add(&[Topic::Measurements], &filter, StreamId::default());
        index.add(client, &interest);
    }
    let subject = Subject {
        site: Some("site"),
        room: Some("room 7"),
        sensor: Some("s"),
    };
    let mut receivers = Vec::new();
    index.each_chosen(Topic::Measurements, subject, |client| {
        receivers.push(client);
    });
    let expected: Vec<_> = (0..10).map(|n| 7 + n * 1000).collect();
    assert_eq!(receivers, expected);
}
