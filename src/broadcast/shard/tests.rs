//! What a delivery costs, and what reaches whom.

use super::*;
use crate::access::test_support::access;
use crate::access::{AuthMode, Caller};
use crate::broadcast::LogLimits;
use crate::broadcast::encoding::Encoding;
use crate::broadcast::frame::Negotiated;
use crate::broadcast::hub::Hub;
use crate::broadcast::outgoing::test_support::{id, measurement, notice};
use crate::broadcast::pass::Pass;
use crate::broadcast::sink::Sink;
use crate::broadcast::state::{HubLimits, HubParts};
use crate::clock::SystemClock;
use crate::database::{self, OpenMode};
use crate::domain::Selector;
use crate::domain::{Timestamp, Topic};
use crate::read_budget::{READ_BYTES_MIN, ReadBudget};
use crate::score::Profile;
use crate::shutdown::Shutdown;
use crate::store::{ReplayLimits, Store};
use actix_web::http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use pretty_assertions::assert_eq;
use rstest::rstest;
use std::io::Read;
use std::net::TcpListener;
use tokio::net::TcpStream;

const LIMITS: HubLimits = HubLimits {
    connections_max: 0,
    connections_per_address_max: 0,
    queue_bytes_max: 256 * 1024,
    commands_per_second: 20,
    filters_max: 32,
    ping_interval: Duration::from_secs(30),
    silence_max: Duration::from_mins(1),
    replay: LogLimits {
        messages_max: 100,
        age_max: Duration::from_mins(1),
    },
};

/// A shard on this thread, and its clients' ends of the connections.
struct Stage {
    shard: Rc<Shard>,
    orders: mpsc::Sender<Order>,
    listener: TcpListener,
    peers: Vec<std::net::TcpStream>,
    _folder: tempfile::TempDir,
    _threads: crate::broadcast::HubThreads,
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("test.db").display());
        let database = database::open(&url, OpenMode::Owner).await.unwrap();
        let (profile, now) = (Profile::Iaqverse, Timestamp::from_millis(0));
        let store = Store::open(database, profile, now, ReplayLimits::default())
            .await
            .unwrap();
        let access = access(AuthMode::Off, Arc::new(SystemClock)).await;
        let parts = HubParts {
            store,
            read_budget: ReadBudget::new(READ_BYTES_MIN),
            access,
            clock: Arc::new(SystemClock),
            host: Arc::default(),
            shutdown: Shutdown::default(),
            limits: LIMITS,
        };
        let (hub, threads) = Hub::start(parts, 1);
        let (orders, received) = mpsc::channel(4);
        Self {
            shard: Shard::new(hub.state().clone(), id(0), received),
            orders,
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            peers: Vec::new(),
            _folder: folder,
            _threads: threads,
        }
    }

    async fn join(&mut self, interest: Interest) -> (ClientKey, Rc<Client>) {
        let peer = std::net::TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        self.peers.push(peer);
        let stream = TcpStream::from_std(stream).unwrap();
        // Before the runtime has looked, a socket counts as full.
        stream.writable().await.unwrap();
        let sink = Sink::Socket(stream);
        let client = Rc::new(Client::new(
            sink,
            None,
            Pass::new(Caller::anyone(), Timestamp::from_millis(0)),
            interest,
            LIMITS.queue_bytes_max,
        ));
        (self.shard.join(Rc::clone(&client)), client)
    }
}

fn compressed() -> Encoding {
    let mut offers = HeaderMap::new();
    let offer = HeaderValue::from_static("permessage-deflate");
    offers.append(SEC_WEBSOCKET_EXTENSIONS, offer);
    Encoding::Compressed(Negotiated::from_offers(&offers).unwrap())
}

fn whole(encoding: Encoding) -> Interest {
    Interest::new(TopicSet::EMPTY.with(Topic::Measurements), encoding, id(0))
}

fn one_room() -> Interest {
    let mut interest = Interest::new(TopicSet::EMPTY, Encoding::Frames, id(0));
    let filter = Selector {
        room: Some("room".into()),
        ..Selector::default()
    };
    interest.add(&[Topic::Measurements], &filter, id(0));
    interest
}

#[rstest]
#[case::frames(whole(Encoding::Frames))]
#[case::compressed(whole(compressed()))]
#[case::filtered(one_room())]
fn a_receiver_costs_no_allocation(#[case] interest: Interest) {
    actix_rt::System::new().block_on(async {
        let mut stage = Stage::new().await;
        let mut sequence = 0;
        let mut next = || {
            sequence += 2;
            let place = ["site", "room", "sensor"];
            [
                measurement(sequence - 1, place, 1),
                measurement(sequence, place, 2),
            ]
        };
        let mut counts = Vec::new();
        for receivers in [20, 100] {
            while stage.peers.len() < receivers {
                stage.join(interest.clone()).await;
            }
            // What is kept between deliveries grows once.
            stage.shard.deliver(&next());
            for length in [1, 2] {
                let messages = next();
                let delivery = || stage.shard.deliver(&messages[2 - length..]);
                counts.push(allocation_counter::measure(delivery).count_total);
            }
        }
        assert!(counts[0] > 0, "nothing was counted");
        assert_eq!(counts[..2], counts[2..], "for one message and for two");
    });
}

#[test]
fn a_message_is_encoded_and_compressed_once_for_all() {
    actix_rt::System::new().block_on(async {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let mut stage = Stage::new().await;
        for _ in 0..10 {
            stage.join(whole(Encoding::Frames)).await;
            stage.join(whole(compressed())).await;
            stage.join(one_room()).await;
        }
        metrics::with_local_recorder(&recorder, || {
            for sequence in 1..=7 {
                let message = measurement(sequence, ["site", "room", "sensor"], 1);
                stage.shard.deliver(&[message]);
            }
        });
        let page = page.render();
        for line in [
            "iaqverse_broadcast_encodes_total 7\n",
            "iaqverse_broadcast_compressions_total 7\n",
        ] {
            assert!(page.contains(line), "{page}");
        }
    });
}

#[test]
fn nobody_listening_costs_no_encoding() {
    actix_rt::System::new().block_on(async {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let page = recorder.handle();
        let mut stage = Stage::new().await;
        stage
            .join(Interest::new(
                TopicSet::EMPTY.with(Topic::Alerts),
                Encoding::Frames,
                id(0),
            ))
            .await;
        metrics::with_local_recorder(&recorder, || {
            let message = measurement(1, ["site", "room", "sensor"], 1);
            stage.shard.deliver(&[message]);
        });
        assert!(!page.render().contains("encodes_total 1"));
    });
}

#[test]
fn who_leaves_is_no_longer_looked_for() {
    actix_rt::System::new().block_on(async {
        let mut stage = Stage::new().await;
        let (key, _) = stage.join(one_room()).await;
        let (stays, client) = stage.join(whole(Encoding::Frames)).await;
        stage.shard.leave(key);
        stage.shard.leave(key);
        let place = ["site", "room", "sensor"];
        stage.shard.deliver(&[measurement(1, place, 1)]);
        stage
            .shard
            .deliver(&[Arc::new(notice(id(2), Topic::Alerts))]);
        assert!(client.is_open() && !client.has_backlog());
        stage.shard.leave(stays);
        let counted = stage.shard.hub.stats();
        assert_eq!(counted.subscriptions.measurements, 0);
        assert_eq!(stage.shard.position(), id(2));
    });
}

#[test]
fn what_is_awaited_between_two_messages_never_lets_a_later_one_overtake() {
    actix_rt::System::new().block_on(async {
        let stage = Stage::new().await;
        let message = |sequence| measurement(sequence, ["site", "room", "sensor"], 1);
        let publish = |messages: Vec<Arc<Outgoing>>| Order::Publish(messages.into());
        let seen: Rc<RefCell<Vec<StreamId>>> = Rc::default();
        let order = publish(vec![message(1), message(2)]);
        stage.orders.try_send(order).unwrap();
        let (shard, orders) = (Rc::clone(&stage.shard), stage.orders.clone());
        let (third, at) = (publish(vec![message(3)]), Rc::clone(&seen));
        stage.shard.after(
            id(1),
            Box::new(move || {
                at.borrow_mut().push(shard.position());
                orders.try_send(third).unwrap();
                let inner = Rc::clone(&shard);
                let act = move || at.borrow_mut().push(inner.position());
                shard.after(id(2), Box::new(act));
            }),
        );
        stage.shard.deliver_published();
        stage.shard.deliver_published();
        assert_eq!(*seen.borrow(), [id(1), id(2)]);
        assert_eq!(stage.shard.position(), id(3));
    });
}

#[test]
fn who_is_paused_gets_nothing_and_loses_nothing() {
    actix_rt::System::new().block_on(async {
        let mut stage = Stage::new().await;
        let (key, client) = stage.join(whole(Encoding::Frames)).await;
        let (leaver, leaving) = stage.join(one_room()).await;
        let deliver = |sequence| {
            let message = measurement(sequence, ["site", "room", "sensor"], 1);
            stage.shard.deliver(&[message]);
        };
        deliver(1);
        let pause = Pause::begin(&stage.shard, key, &client);
        let other = Pause::begin(&stage.shard, leaver, &leaving);
        // More than the log keeps otherwise.
        let last = u64::try_from(LIMITS.replay.messages_max).unwrap() + 10;
        (2..=last).for_each(deliver);
        let [before, after] = pause.missed(id(3));
        let sequences = |messages: &[Arc<Outgoing>]| -> Vec<_> {
            messages.iter().map(|message| message.id.sequence).collect()
        };
        assert_eq!(sequences(&before), [2, 3]);
        assert_eq!(sequences(&after), (4..=last).collect::<Vec<_>>());
        stage.shard.leave(leaver);
        drop((pause, other));
        let everything = TopicSet::EMPTY.with(Topic::All);
        assert!(!stage.shard.log.borrow().is_complete(everything, id(2)));
        stage.shard.change_interest(key, &client, |_| {});
        deliver(last + 1);
        stage.peers[0].set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        // It ends with "would block": that is all there is.
        stage.peers[0].read_to_end(&mut got).unwrap_err();
        let got = String::from_utf8_lossy(&got);
        let ids: Vec<_> = (1..=last + 1)
            .filter(|sequence| got.contains(&format!("\"id\":\"{}\"", id(*sequence))))
            .collect();
        assert_eq!(ids, [1, last + 1]);
    });
}
