//! The beginning of a subscription: snapshot or replay, then live, with no gap and no repeat.
//!
//! Everything that decides happens on the shard's thread between two messages, so what the client
//! gets first ends exactly where live begins. A snapshot is made on another thread, and the client
//! gets nothing until it is there (`shard/pause`). A replay comes from the shard's log. What is older
//! comes from the store, which has every measurement before anybody was told of it; that takes a
//! while, and what was published meanwhile is in the log.

use super::client::Client;
use super::frame::close;
use super::index::ClientKey;
use super::outbox::Kept;
use super::outgoing::Outgoing;
use super::protocol::{self, Subscription};
use super::scope;
use super::shard::{Pause, Shard};
use super::snapshot::{Snapshot, SnapshotError};
use crate::domain::Selector;
use crate::domain::{StreamId, Topic, TopicSet};
use crate::read_budget::{Lease, Owner};
use crate::store::Published;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Most messages replayed from the store; who has missed more gets a snapshot.
const STORE_REPLAY_MESSAGES_MAX: usize = 10_000;
/// Rows asked of the store at once.
const PAGE_ROWS: u32 = 1000;
/// Bytes of a replayed message with what is sent of it, unless it measures more than most.
const MESSAGE_BYTES: usize = 1536;
/// How long a client waits for its snapshot, or for others to have taken what they asked for.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Bytes a message of a replay takes until it is sent.
fn message_bytes(message: &Outgoing) -> usize {
    MESSAGE_BYTES + message.extra_bytes()
}

/// A subscription that is about to begin.
struct Beginning {
    shard: Rc<Shard>,
    key: ClientKey,
    client: Rc<Client>,
    wanted: Subscription,
    /// What its filter is narrowed to: it gets what any of them matches.
    filters: Vec<Selector>,
    /// Called once live has begun.
    begun: Box<dyn FnOnce()>,
}

/// What the client gets before live, and whether with it nothing is missing.
enum Catchup {
    Nothing,
    /// A snapshot, and what was published after it.
    Snapshot(Arc<Snapshot>, Vec<Arc<Outgoing>>),
    /// Messages after the one named, and the memory they take.
    Replay(Vec<Arc<Outgoing>>, StreamId, Kept),
}

/// Begins a subscription, at once or as soon as the stream has come to where it starts.
pub(super) fn subscribe(
    shard: &Rc<Shard>,
    key: ClientKey,
    client: &Rc<Client>,
    wanted: Subscription,
    filters: Vec<Selector>,
    begun: impl FnOnce() + 'static,
) {
    let beginning = Beginning {
        shard: Rc::clone(shard),
        key,
        client: Rc::clone(client),
        wanted,
        filters,
        begun: Box::new(begun),
    };
    let since: Option<StreamId> = beginning
        .wanted
        .since
        .as_deref()
        .and_then(|since| since.parse().ok())
        .filter(|since| *since <= shard.hub.position());
    match since {
        // The client may have seen on another shard what this one has not delivered yet.
        Some(since) => shard.after(since, Box::new(move || beginning.resume(since))),
        None => beginning.start_new(),
    }
}

impl Beginning {
    fn topics(&self) -> TopicSet {
        self.wanted.topics.iter().copied().collect()
    }

    fn wants_measurements(&self) -> bool {
        self.topics().wants(Topic::Measurements)
    }

    /// Begins without a past, or with one that nobody remembers.
    fn start_new(self) {
        let snapshot = self.wanted.snapshot || self.wanted.since.is_some();
        if !(snapshot && self.wants_measurements()) {
            return self.begin(false, Catchup::Nothing);
        }
        let shutdown = self.shard.hub.shutdown().clone();
        shutdown.spawn(self.begin_with_snapshot());
    }

    /// Begins with a snapshot once it is made. A client for which none can be made is closed, so that
    /// it comes back later.
    async fn begin_with_snapshot(self) {
        let pause = Pause::begin(&self.shard, self.key, &self.client);
        let made = tokio::select! {
            made = self.snapshot(&pause) => made,
            () = self.shard.hub.shutdown().begun() => {
                // Anything else it is sent would hide from it what it has missed.
                self.client.close(close::GOING_AWAY, "the server is stopping");
                Ok(None)
            }
        };
        match made {
            Ok(Some(snapshot)) if self.client.is_open() => {
                // It may be ahead of what this shard has delivered.
                let shard = Rc::clone(&self.shard);
                let id = snapshot.id;
                let action = move || self.begin_behind(snapshot, &pause);
                shard.after(id, Box::new(action));
            }
            Ok(_) => (self.begun)(),
            Err(error) => {
                metrics::counter!("iaqverse_broadcast_snapshots_refused_total").increment(1);
                let reason = error.to_string();
                self.client.close(close::TRY_AGAIN_LATER, &reason);
                (self.begun)();
            }
        }
    }

    /// A snapshot that was taken since the pause began: one that another client has, or a new one as
    /// soon as it is this client's turn and there is memory for it. `None` when the client has left.
    async fn snapshot(&self, pause: &Pause) -> Result<Option<Arc<Snapshot>>, SnapshotError> {
        let (hub, encoding) = (&self.shard.hub, self.client.encoding);
        let asked_at = hub.snapshot_age(pause.since());
        let deadline = Instant::now() + TURN_WAIT_MAX;
        let known = || hub.known_snapshot(&self.filters, encoding, asked_at);
        let mut waited_for = None;
        loop {
            let packer = timeout_at(deadline, hub.packer()).await;
            let packer = packer.map_err(|_elapsed| SnapshotError::Busy)?;
            if !self.client.is_open() {
                return Ok(None);
            }
            if let Some(snapshot) = known() {
                return Ok(Some(snapshot));
            }
            let bytes = hub.snapshot_bytes(&self.filters).await?;
            let budget = hub.read_budget();
            let lease = waited_for.take();
            if let Some(lease) = lease.or_else(|| budget.try_keep(self.owner(), bytes)) {
                let made = hub.make_snapshot(&self.filters, encoding, lease, packer);
                return Ok(Some(made.await?));
            }
            // Others have their turn while this one waits.
            drop(packer);
            let wait_max = deadline.saturating_duration_since(Instant::now());
            match budget.keep(self.owner(), bytes, wait_max).await {
                Ok(kept) => waited_for = Some(kept),
                // Whoever had the memory may have made what this client wants, too.
                Err(too_much) => return known().map(Some).ok_or(too_much.into()),
            }
        }
    }

    /// Begins right behind a snapshot, with what was published since it was taken.
    fn begin_behind(self, snapshot: Arc<Snapshot>, pause: &Pause) {
        let [mut before, after] = pause.missed(snapshot.id);
        let interest = self.client.interest.borrow();
        before.retain(|message| interest.has_got(message));
        drop(interest);
        self.shard
            .deliver_chosen(self.key, &self.client, before.iter());
        self.begin(false, Catchup::Snapshot(snapshot, after));
    }

    /// Whose memory is taken.
    fn owner(&self) -> Owner {
        let pass = self.client.pass.borrow();
        let access = self.shard.hub.access();
        access.counted(pass.caller(), self.client.address)
    }

    /// Goes on after the last message the client has seen.
    fn resume(self, since: StreamId) {
        let topics = self.topics();
        if self.shard.log.borrow().is_complete(topics, since) {
            let missed = self.missed(since);
            return self.begin(true, Catchup::Replay(missed, since, Kept::default()));
        }
        // Only measurements are stored.
        if topics != TopicSet::EMPTY.with(Topic::Measurements) {
            return self.start_new();
        }
        let shutdown = self.shard.hub.shutdown().clone();
        shutdown.spawn(self.resume_from_store(since));
    }

    async fn resume_from_store(self, since: StreamId) {
        let until = self.shard.position();
        let Some((mut messages, lease)) = self.stored_messages(since, until).await else {
            return self.start_new();
        };
        if !self.shard.log.borrow().is_complete(self.topics(), until) {
            return self.start_new();
        }
        messages.extend(self.missed(until));
        let kept = Kept::replay(lease);
        self.begin(true, Catchup::Replay(messages, since, kept));
    }

    /// What the log has after `since`, as far as it is wanted.
    fn missed(&self, since: StreamId) -> Vec<Arc<Outgoing>> {
        let mut messages = self.shard.log.borrow().after(self.topics(), since);
        messages.retain(|message| Selector::any_matches(&self.filters, message.subject()));
        messages
    }

    /// The stored measurements with `since < id <= until`; `None` when not all of them are there, they
    /// are too many, or there is no memory for them.
    async fn stored_messages(
        &self,
        since: StreamId,
        until: StreamId,
    ) -> Option<(Vec<Arc<Outgoing>>, Lease)> {
        let hub = &self.shard.hub;
        let page_bytes = PAGE_ROWS as usize * MESSAGE_BYTES;
        let budget = hub.read_budget();
        let lease = budget.keep(self.owner(), page_bytes, TURN_WAIT_MAX);
        let mut lease = lease.await.ok()?;
        let mut bytes = 0;
        let mut messages = Vec::new();
        let mut after = since;
        while after < until {
            let page = match hub.store().replay(after, until, PAGE_ROWS).await {
                Ok(page) => page?,
                Err(error) => {
                    tracing::warn!(%error, "a replay could not be read");
                    return None;
                }
            };
            let Some(last) = page.last() else { break };
            after = last.id;
            let outgoing = page
                .into_iter()
                .map(|stored| Outgoing::new(Published::Measurement(stored), Instant::now()))
                .filter(|message| Selector::any_matches(&self.filters, message.subject()));
            let before = messages.len();
            messages.extend(outgoing.map(Arc::new));
            let new = messages.get(before..).unwrap_or_default();
            bytes += new
                .iter()
                .map(|message| message_bytes(message))
                .sum::<usize>();
            let wanted = bytes + page_bytes;
            let fits = lease.bytes() >= wanted || lease.grow(wanted - lease.bytes());
            if messages.len() > STORE_REPLAY_MESSAGES_MAX || !fits {
                return None;
            }
        }
        lease.shrink_to(bytes);
        Some((messages, lease))
    }

    /// The filters, with those that what it names leads to by now: a sensor or a room may be called
    /// otherwise since it was asked for.
    fn filters_named_now(&self) -> Vec<Selector> {
        let named = scope::filters(
            self.shard.hub.store(),
            self.client.pass.borrow().caller(),
            &self.wanted.topics,
            &self.wanted.filter,
        );
        let mut filters = self.filters.clone();
        for filter in named.unwrap_or_default() {
            if !filters.contains(&filter) {
                filters.push(filter);
            }
        }
        filters
    }

    /// The moment live begins.
    fn begin(self, recovered: bool, mut catchup: Catchup) {
        let mut since = self.shard.position();
        let mut replayed: &[Arc<Outgoing>] = &[];
        if let Catchup::Snapshot(snapshot, _) = &catchup {
            since = snapshot.id;
        }
        if let Catchup::Replay(messages, after, _) = &mut catchup {
            // What the client has got already, because it had subscribed to it before, is not missed.
            let interest = self.client.interest.borrow();
            let has_gaps = self.client.has_gaps.get();
            messages.retain(|message| has_gaps || !interest.has_got(message));
            since = *after;
            replayed = messages;
        }
        self.shard.send_held(&self.client, replayed);
        let count = replayed.len();
        let filters = self.filters_named_now();
        let Self {
            shard,
            key,
            client,
            wanted,
            begun,
            ..
        } = self;
        if let Some(interval) = wanted.interval {
            shard.set_pace(key, &client, interval);
        }
        shard.change_interest(key, &client, |interest| {
            for filter in &filters {
                interest.add(&wanted.topics, filter, since);
            }
        });
        let topics = client.interest.borrow().all_topics();
        let answer = protocol::subscribed(topics, recovered, count);
        client.send(client.encoding.encode_short(answer.as_bytes()));
        match catchup {
            Catchup::Nothing => {}
            Catchup::Snapshot(snapshot, mut after) => {
                client.catch_up(snapshot.bytes.clone(), Kept::snapshot(snapshot));
                client.flush();
                let interest = client.interest.borrow();
                after.retain(|message| interest.has_got(message));
                drop(interest);
                if client.pace.borrow().is_some() {
                    shard.deliver_chosen(key, &client, after.iter());
                } else {
                    // However much came while the snapshot was made, that is no slowness of the client.
                    for message in after {
                        let bytes = message.encoded(client.encoding, &shard.deflater);
                        client.catch_up(bytes.clone(), Kept::default());
                    }
                }
            }
            Catchup::Replay(messages, _, kept) => {
                for message in messages {
                    let bytes = message.encoded(client.encoding, &shard.deflater);
                    client.catch_up(bytes.clone(), kept.clone());
                }
            }
        }
        client.flush();
        begun();
    }
}
