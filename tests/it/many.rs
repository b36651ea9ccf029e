//! Many sensors: who asks for a part pays for that part, and gets the same as from a few.
//!
//! `IAQ_TEST_SENSORS=20000 cargo test --test it many -- --nocapture` says what requests cost with so many.

use crate::harness::{Server, at_millis};
use iaqverse::clock::{Clock, SystemClock};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::time::Instant;

/// Sensors where no number is asked for.
const SENSORS_USUAL: usize = 1000;
const SITES: usize = 50;
/// Readings of each sensor, a minute apart.
const READINGS: usize = 3;
const PATHS: [&str; 6] = [
    "/api/rooms",
    "/api/latest",
    "/api/latest?enseigne=Site%207",
    "/api/iaq/data?limit=1",
    "/api/iaq/data?enseigne=Site%207&limit=1",
    "/api/iaq/data?enseigne=Site%207&points=2",
];

fn reading(number: usize, observed_at: i64) -> Value {
    json!({"sensor_id": format!("s{number}"), "enseigne": format!("Site {}", number % SITES),
        "salle": format!("Room {}", number / SITES % 20), "timestamp": at_millis(observed_at),
        "values": {"CO2": 400 + number % 600, "PM25": number % 50, "temperature": 21}})
}

/// Milliseconds of processor that the server has taken.
fn processor_ms(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let field = |index: usize| fields.split_whitespace().nth(index).unwrap().parse::<u64>();
    // In hundredths of a second.
    10 * (field(11).unwrap() + field(12).unwrap())
}

/// What a request costs, and the mean of some that follow it.
#[expect(clippy::print_stderr, reason = "what it is for")]
async fn tell(server: &Server, path: &str) {
    const FURTHER: u32 = 10;
    let (begun, processor) = (Instant::now(), processor_ms(server));
    assert_eq!(server.get(path).await.status(), 200);
    let (took, first) = (begun.elapsed(), processor_ms(server) - processor);
    let processor = processor_ms(server);
    for _ in 0..FURTHER {
        // Averages are kept for a second.
        tokio::time::sleep(std::time::Duration::from_millis(1010)).await;
        assert_eq!(server.get(path).await.status(), 200);
    }
    let further = (processor_ms(server) - processor) / u64::from(FURTHER);
    eprintln!("{path}: {first} ms of processor in {took:?}, then {further} ms each");
}

#[expect(
    clippy::disallowed_methods,
    reason = "how many sensors there are is asked of the environment"
)]
#[tokio::test]
async fn a_site_of_many_is_what_it_is_among_all_and_the_first_reading_is_found() {
    let asked = std::env::var("IAQ_TEST_SENSORS").ok();
    let count = asked
        .as_ref()
        .map_or(SENSORS_USUAL, |text| text.parse().unwrap());
    let server = Server::with(&[("IAQ_RATE_API", "0")]);
    let now = SystemClock.now().millis();
    for ago_min in (1..=READINGS).rev() {
        let observed_at = now - 60_000 * i64::try_from(ago_min).unwrap();
        let numbers: Vec<_> = (0..count).collect();
        for some in numbers.chunks(5000) {
            let batch = some.iter().map(|number| reading(*number, observed_at));
            assert_eq!(server.post(&batch.collect()).await.status(), 200);
        }
    }
    if asked.is_some() {
        for path in PATHS {
            tell(&server, path).await;
        }
        return;
    }
    let all = server.get_json("/api/latest").await;
    let of_site = |record: &&Value| record["enseigne"] == "Site 7";
    let wanted: Vec<_> = all.as_array().unwrap().iter().filter(of_site).collect();
    let found = server.get_json("/api/latest?enseigne=Site%207").await;
    assert_eq!(found.as_array().unwrap().iter().collect::<Vec<_>>(), wanted);
    assert_eq!(wanted.len(), count / SITES);

    // The sensors of a room have a mean, and each of them is named.
    let rooms = server.get_json("/api/rooms").await;
    let sites = rooms.as_array().unwrap();
    assert_eq!(sites.len(), SITES);
    let named = sites
        .iter()
        .flat_map(|site| site["salles"].as_array().unwrap());
    let named = named.map(|room| room["sensors"].as_array().unwrap().len());
    assert_eq!(named.sum::<usize>(), count);

    // The first so many of a long answer are those that a short one has.
    let whole = server.get_json("/api/iaq/data?enseigne=Site%207").await;
    let whole = whole.as_array().unwrap();
    assert_eq!(whole.len(), READINGS * count / SITES);
    for limit in [1, 2, 19, 20, 21, 50] {
        let path = format!("/api/iaq/data?enseigne=Site%207&limit={limit}");
        let first = server.get_json(&path).await;
        assert_eq!(first.as_array().unwrap(), &whole[..limit], "{limit}");
    }
}
