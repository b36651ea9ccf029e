//! What one reading costs at each stage of the road that is pure computation.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use iaqverse::broadcast::{Decoder, Inflater};
use iaqverse::database::{RoomKey, SensorKey};
use iaqverse::domain::{Place, PlaceName, Reading, SensorId, StreamId, Timestamp};
use iaqverse::fault::FAULTS_MAX;
use iaqverse::payload::{Format as _, JsonArray, JsonLines, JsonObject, RawItem};
use iaqverse::query::{Dialect, Format, Line, Names};
use iaqverse::score::Profile;
use iaqverse::store::{BucketRow, HistoryRow, Measure, ScoredReading, Statistics, Stored};
use iaqverse::validate::{self, Rules, TvocUnit};
use iaqverse::wire::measurement;
use std::hint::black_box;
use std::sync::Arc;

const READING: &str = r#"{"sensor_id":"bureau1","enseigne":"Maison","salle":"Bureau","timestamp":"2025-11-19T10:05:00.123Z","values":{"CO2":645,"PM25":12.4,"TVOC":40,"Temperature":22.3,"Humidity":45}}"#;
const BATCH: usize = 1000;

fn rules() -> Rules {
    Rules {
        now: Timestamp::parse("2025-11-19T10:05:01Z").unwrap(),
        tvoc_unit_said: None,
        tvoc_unit: TvocUnit::Ppb,
        faults_max: FAULTS_MAX,
    }
}

fn see(item: RawItem<'_>) {
    black_box(item);
}

/// The reading of [`READING`].
fn valid() -> Reading {
    let (rules, mut valid) = (rules(), None);
    let mut take = |item: RawItem<'_>| valid = validate::item(&item, &rules).ok();
    let mut bytes = READING.as_bytes().to_vec();
    JsonObject.read(&mut bytes, 1, &mut take).unwrap();
    valid.unwrap().reading
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one", |bench| {
        let mut bytes = READING.as_bytes().to_vec();
        bench.iter(|| JsonObject.read(black_box(&mut bytes), 1, &mut see).unwrap());
    });
    group.bench_function("one and validate", |bench| {
        let rules = rules();
        let mut bytes = READING.as_bytes().to_vec();
        let mut take = |item: RawItem<'_>| {
            black_box(validate::item(&item, &rules).unwrap());
        };
        bench.iter(|| {
            JsonObject
                .read(black_box(&mut bytes), 1, &mut take)
                .unwrap();
        });
    });
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut array = format!("[{}]", [READING; BATCH].join(",")).into_bytes();
    group.bench_function("array of 1000", |bench| {
        bench.iter(|| {
            JsonArray
                .read(black_box(&mut array), BATCH, &mut see)
                .unwrap();
        });
    });
    let mut lines = [READING; BATCH].join("\n").into_bytes();
    group.bench_function("1000 lines", |bench| {
        bench.iter(|| {
            JsonLines
                .read(black_box(&mut lines), BATCH, &mut see)
                .unwrap();
        });
    });
    group.finish();
}

fn score(criterion: &mut Criterion) {
    let values = valid().values;
    let mut group = criterion.benchmark_group("score");
    group.throughput(Throughput::Elements(1));
    for profile in [Profile::Iaqverse, Profile::Classic] {
        group.bench_function(profile.as_str(), |bench| {
            bench.iter(|| profile.assess(black_box(&values)));
        });
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let reading = valid();
    let stored = Stored {
        id: StreamId {
            epoch: 1,
            sequence: 1_234_567,
        },
        place: Arc::new(Place {
            site: PlaceName::parse("Maison").unwrap(),
            room: PlaceName::parse("Bureau").unwrap(),
        }),
        scored: Arc::new(ScoredReading {
            assessment: Profile::Iaqverse.assess(&reading.values),
            reading,
        }),
        late: false,
        state: None,
    };
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("measurement", |bench| {
        bench.iter(|| measurement(black_box(&stored)));
    });
    group.finish();
}

/// Rows of a history as they are written, the score of each included.
fn history(criterion: &mut Criterion) {
    let reading = valid();
    let (sensor, room) = (SensorKey(1), RoomKey(1));
    let mut names = Names::default();
    names
        .sensors
        .insert(sensor, SensorId::parse("bureau1").unwrap());
    let place = Place {
        site: PlaceName::parse("Maison").unwrap(),
        room: PlaceName::parse("Bureau").unwrap(),
    };
    names.rooms.insert(room, Arc::new(place));
    let values = reading.values;
    let statistics = values.iter().map(|(quantity, number)| {
        let mut statistics = Statistics::of(number);
        statistics.add(&Statistics::of(number * 1.01));
        (Measure::Quantity(quantity), statistics)
    });
    let bucket = BucketRow {
        sensor,
        start: reading.observed_at,
        room,
        readings: 60,
        statistics: statistics.collect(),
    };
    let row = HistoryRow {
        sensor,
        observed_at: reading.observed_at,
        room,
        values,
        extras: reading.extras,
        tvoc_unit_assumed: false,
    };
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements(1));
    for format in Format::ALL {
        for minmax in [false, true] {
            let mut writer = format.writer(&names, minmax, Dialect::default());
            let mut out = Vec::with_capacity(1 << 20);
            let kind = if minmax { "bucket" } else { "reading" };
            group.bench_function(format!("{} {kind}", format.as_str()), |bench| {
                bench.iter(|| {
                    if out.len() > 1 << 19 {
                        out.clear();
                    }
                    let line = if minmax {
                        Line::of_bucket(black_box(&bucket), Profile::Iaqverse)
                    } else {
                        Line::of_reading(black_box(&row), Profile::Iaqverse)
                    };
                    writer.row(&line, &mut out)
                });
            });
        }
    }
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    // A masked ping as every browser sends it.
    let ping = [0x81, 0x8f, 0, 0, 0, 0];
    let bytes = [&ping[..], br#"{"type":"ping"}"#].concat();
    let mut inflater = Inflater::default();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("client message", |bench| {
        bench.iter_batched(
            || Decoder::new(1024, false),
            |mut decoder| {
                decoder
                    .decode(&mut black_box(&bytes[..]), &mut inflater)
                    .unwrap()
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(road, parse, score, encode, history, frames);
criterion_main!(road);
