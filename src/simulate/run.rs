//! The life of a simulator: history first, then live readings until told to stop.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::building::Building;
use super::config::{SimulateError, SimulationConfig, Target};
use super::courier::Courier;
use super::http::{HttpTransport, Transport};
use super::outbox::{BATCH_READINGS_MAX, Outbox};

/// Source of the present time.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Least time between two groups of rooms, which bounds the requests per second.
const SLOT_MIN: Duration = Duration::from_millis(250);

/// Posts the readings of a simulated building to `{url}/api/ingest` until `stop`.
///
/// Rooms take turns within the interval. Timestamps are `now` at every speed, because a server
/// refuses the future; at other speeds than 1 only the physics runs faster or slower, from the
/// first live reading on. A server that is away or busy is tried again for ever, with growing
/// pauses; meanwhile the newest 20 000 readings are kept.
///
/// Errors: a setting out of range or an unusable target, before anything is sent.
/// Cancellation safe: readings have no state a repeated post would harm.
pub async fn run(
    config: SimulationConfig,
    target: Target,
    now: Now,
    stop: CancellationToken,
) -> Result<(), SimulateError> {
    config.validate()?;
    let courier = Courier::new(HttpTransport::new(&target)?, config.seed);
    tracing::info!(
        url = target.url,
        rooms = config.rooms,
        speed = config.speed,
        "simulating"
    );
    run_through(courier, &config, &now, &stop).await
}

async fn run_through<T: Transport>(
    mut courier: Courier<T>,
    config: &SimulationConfig,
    now: &Now,
    stop: &CancellationToken,
) -> Result<(), SimulateError> {
    let start = to_millisecond(now());
    let begin = start
        .checked_sub_signed(delta(config.backfill))
        .unwrap_or(start);
    let mut building = Building::new(config, begin)?;

    let outbox = Outbox::default();
    let work = async {
        if !config.backfill.is_zero() {
            post_history(&mut building, &mut courier, config, begin, now).await;
        }
        // Whichever waits, the other goes on: readings are taken while a post is retried.
        tokio::join!(take_readings(&mut building, &outbox, config, now), async {
            loop {
                courier.deliver(&outbox.next_batch().await).await;
            }
        })
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        _ = work => {}
    }
    Ok(())
}

/// Posts readings from `begin` until the present, oldest first, on full multiples of the step.
async fn post_history<T: Transport>(
    building: &mut Building,
    courier: &mut Courier<T>,
    config: &SimulationConfig,
    begin: DateTime<Utc>,
    now: &Now,
) {
    let step_ms = delta(config.backfill_step).num_milliseconds().max(1);
    let mut unix_ms = begin
        .timestamp_millis()
        .div_euclid(step_ms)
        .saturating_add(1)
        .saturating_mul(step_ms);
    let mut batch = Vec::with_capacity(BATCH_READINGS_MAX);
    let mut posted = 0_usize;
    // Asked anew each time, since posting a long history takes a while itself.
    while let Some(at) = DateTime::from_timestamp_millis(unix_ms).filter(|at| *at < now()) {
        building.advance_to(at);
        for reading in building.readings() {
            batch.push(reading);
            if batch.len() == BATCH_READINGS_MAX {
                courier.deliver(&batch).await;
                posted += batch.len();
                batch.clear();
            }
        }
        unix_ms = unix_ms.saturating_add(step_ms);
    }
    if !batch.is_empty() {
        posted += batch.len();
        courier.deliver(&batch).await;
    }
    tracing::info!(readings = posted, "posted the simulated history");
}

/// Reads the rooms in turn, for ever.
async fn take_readings(
    building: &mut Building,
    outbox: &Outbox,
    config: &SimulationConfig,
    now: &Now,
) {
    let slots = slot_count(config.interval, config.rooms);
    let slot_length = config.interval / slots;
    let live_from = to_millisecond(now());
    let mut due = Instant::now();
    loop {
        for slot in 0..slots {
            sleep_until(due).await;
            let at = to_millisecond(now());
            let simulated = simulated_instant(live_from, at, config.speed);
            for room in (slot..config.rooms).step_by(usize::try_from(slots).unwrap_or(usize::MAX)) {
                let index = usize::try_from(room).unwrap_or(usize::MAX);
                if let Some(mut reading) = building.read_room(index, simulated) {
                    reading.timestamp = at;
                    outbox.push(reading);
                }
            }
            // After a pause of the process the missed turns are left out, not made up in a burst.
            due = (due + slot_length).max(Instant::now());
        }
    }
}

/// Groups of rooms that are read one after another within the interval.
fn slot_count(interval: Duration, rooms: u32) -> u32 {
    let fitting = interval.as_millis() / SLOT_MIN.as_millis();
    u32::try_from(fitting)
        .unwrap_or(u32::MAX)
        .clamp(1, rooms.max(1))
}

/// Simulated instant that belongs to the real instant `at`.
fn simulated_instant(live_from: DateTime<Utc>, at: DateTime<Utc>, speed: f64) -> DateTime<Utc> {
    let real = (at - live_from).to_std().unwrap_or_default();
    Duration::try_from_secs_f64(real.as_secs_f64() * speed)
        .ok()
        .and_then(|elapsed| TimeDelta::from_std(elapsed).ok())
        .and_then(|elapsed| live_from.checked_add_signed(elapsed))
        .map_or(at, to_millisecond)
}

fn to_millisecond(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(3)
}

/// A duration of the configuration, which bounds it far below what a `TimeDelta` holds.
fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chrono::TimeZone;
    use serde_json::Value;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, Request, ResponseTemplate};

    use super::*;
    use crate::simulate::courier::tests::{Scripted, retry};

    fn epoch() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 3, 2, 10, 0, 0).unwrap()
    }

    /// A clock that follows tokio's, paused or not.
    fn clock() -> Now {
        let begin = Instant::now();
        Arc::new(move || epoch() + begin.elapsed())
    }

    fn config(rooms: u32, interval_s: u64) -> SimulationConfig {
        let interval = Duration::from_secs(interval_s);
        SimulationConfig {
            rooms,
            interval,
            ..SimulationConfig::default()
        }
    }

    /// Bodies posted within `seconds` and the readings in them.
    async fn posted(
        config: &SimulationConfig,
        transport: &Scripted,
        seconds: u64,
    ) -> Vec<Vec<Value>> {
        let (stop, now) = (CancellationToken::new(), clock());
        let end = async {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            stop.cancel();
        };
        let (result, ()) = tokio::join!(
            run_through(Courier::new(transport, 1), config, &now, &stop),
            end
        );
        result.unwrap();
        let sent = transport.sent.lock().unwrap();
        sent.iter()
            .map(|(_, body)| serde_json::from_slice(body).unwrap())
            .collect()
    }

    /// Refuses to compile for a future that no multi-threaded runtime could take.
    fn sendable<T: Send>(future: T) -> T {
        future
    }

    fn timestamps(readings: &[Value], sensor: &str) -> Vec<DateTime<Utc>> {
        readings
            .iter()
            .filter(|reading| reading["sensor_id"] == sensor)
            .map(|reading| reading["timestamp"].as_str().unwrap().parse().unwrap())
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn rooms_take_turns_within_the_interval() {
        let bodies = posted(&config(4, 8), &Scripted::default(), 31).await;
        assert_eq!(bodies.len(), 16);
        assert!(bodies.iter().all(|body| body.len() == 1));
        let readings = bodies.concat();
        let first = timestamps(&readings, "sim-maison-salon-1");
        let second = timestamps(&readings, "sim-maison-cuisine-2");
        assert_eq!(first.len(), 4);
        for (turn, (first, second)) in first.iter().zip(&second).enumerate() {
            let late = *first - epoch() - TimeDelta::seconds(8 * i64::try_from(turn).unwrap());
            assert!((0..100).contains(&late.num_milliseconds()), "{late}");
            assert!((1900..2100).contains(&(*second - *first).num_milliseconds()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn history_comes_first_oldest_first_and_then_live() {
        let config = SimulationConfig {
            backfill: Duration::from_hours(24),
            backfill_step: Duration::from_mins(5),
            ..config(3, 5)
        };
        let bodies = posted(&config, &Scripted::default(), 12).await;
        assert!(bodies.iter().all(|body| body.len() <= BATCH_READINGS_MAX));
        let times = timestamps(&bodies.concat(), "sim-maison-salon-1");
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        let (history, live) = times.split_at(times.partition_point(|at| *at < epoch()));
        assert_eq!((history.len(), live.len()), (287, 3));
        assert!(history.iter().all(|at| at.timestamp() % 300 == 0));
        assert!(epoch() - history[0] > TimeDelta::hours(23));
    }

    #[tokio::test(start_paused = true)]
    async fn readings_of_an_outage_arrive_afterwards() {
        let transport = Scripted::default();
        transport
            .answers
            .lock()
            .unwrap()
            .extend([retry(None), retry(Some(60))]);
        let bodies = posted(&config(2, 10), &transport, 100).await;
        let (failed, stored) = bodies.split_at(2);
        assert_eq!(failed[0], failed[1]);
        let times = timestamps(&stored.concat(), "sim-maison-salon-1");
        assert_eq!(times.len(), 10, "{times:?}");
        assert!(stored[1].len() > 8, "the backlog goes out in one batch");
    }

    #[tokio::test(start_paused = true)]
    async fn speed_moves_the_physics_and_not_the_timestamps() {
        let live = posted(&config(1, 10), &Scripted::default(), 95)
            .await
            .concat();
        let fast = SimulationConfig {
            speed: 3600.0,
            ..config(1, 10)
        };
        let fast = posted(&fast, &Scripted::default(), 95).await.concat();
        let sensor = "sim-maison-salon-1";
        assert_eq!(timestamps(&live, sensor), timestamps(&fast, sensor));
        let spread = |readings: &[Value]| {
            let values = readings
                .iter()
                .map(|reading| reading["values"]["CO2"].as_f64().unwrap());
            let (low, high) =
                values.fold((f64::MAX, 0.0), |(low, high), v| (v.min(low), v.max(high)));
            high - low
        };
        assert!(
            spread(&fast) > 4.0 * spread(&live),
            "{} {}",
            spread(&fast),
            spread(&live)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn stop_ends_an_endless_outage() {
        let transport = Scripted::default();
        transport
            .answers
            .lock()
            .unwrap()
            .extend((0..10_000).map(|_| retry(None)));
        let history = SimulationConfig {
            backfill: Duration::from_hours(1),
            ..config(2, 5)
        };
        let bodies = posted(&history, &transport, 3600).await;
        assert!((100..300).contains(&bodies.len()), "{}", bodies.len());
    }

    #[tokio::test]
    async fn a_server_receives_history_and_live_readings_over_http() {
        let server = MockServer::start().await;
        let (stop, live) = (CancellationToken::new(), AtomicUsize::new(0));
        let responder = {
            let stop = stop.clone();
            move |request: &Request| {
                let body: Vec<Value> = request.body_json().unwrap();
                let at: DateTime<Utc> = body[0]["timestamp"].as_str().unwrap().parse().unwrap();
                if at >= epoch() && live.fetch_add(1, Ordering::SeqCst) == 2 {
                    stop.cancel();
                }
                ResponseTemplate::new(200)
            }
        };
        Mock::given(method("POST"))
            .and(path("/api/ingest"))
            .respond_with(responder)
            .mount(&server)
            .await;
        let config = SimulationConfig {
            rooms: 12,
            interval: Duration::from_millis(100),
            backfill: Duration::from_hours(1),
            ..SimulationConfig::default()
        };
        let target = Target {
            url: server.uri(),
            bearer: None,
        };
        sendable(run(config, target, clock(), stop)).await.unwrap();
        let requests = server.received_requests().await.unwrap();
        let sizes: Vec<usize> = requests
            .iter()
            .map(|r| r.body_json::<Vec<Value>>().unwrap().len())
            .collect();
        // The full hour itself is history when its turn comes late enough.
        assert!(
            sizes[0] == 500 && [208, 220].contains(&sizes[1]),
            "{sizes:?}"
        );
        assert_eq!(sizes[2..5], [12, 12, 12]);
    }

    #[tokio::test]
    async fn a_bad_setting_or_target_ends_the_run_at_once() {
        let target = |url: &str| Target {
            url: url.to_owned(),
            bearer: None,
        };
        let stop = CancellationToken::new();
        let bad = run(
            config(0, 5),
            target("http://127.0.0.1:9"),
            clock(),
            stop.clone(),
        )
        .await;
        assert!(matches!(bad, Err(SimulateError::Config(_))));
        let bad = run(config(1, 5), target("ftp://127.0.0.1"), clock(), stop).await;
        assert!(matches!(bad, Err(SimulateError::Target(_))));
    }

    #[test]
    fn slots_fit_the_interval_and_the_rooms() {
        assert_eq!(slot_count(Duration::from_millis(100), 1000), 1);
        assert_eq!(slot_count(Duration::from_secs(5), 8), 8);
        assert_eq!(slot_count(Duration::from_secs(5), 1000), 20);
    }
}
