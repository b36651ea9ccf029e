use super::*;
use pretty_assertions::assert_eq;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rstest::rstest;

/// A chunk or a span by its sensor and both ends.
type Ends = (i64, i64, i64);

/// The spans asked for, the chunks that overlap them, and what is told of chunks.
type Case = (&'static [Ends], &'static [Ends], &'static [Ends]);

/// In a database with these chunks.
const CHUNKS: [Ends; 4] = [(1, 0, 9), (1, 20, 29), (1, 40, 40), (2, 0, 500)];

const CASES: [Case; 16] = [
    // Between two chunks, at both ends of one, inside and around.
    (&[(1, 10, 19)], &[], &[(1, 0, 9)]),
    (&[(1, 10, 20)], &[(1, 20, 29)], &[(1, 0, 9), (1, 20, 29)]),
    (&[(1, 29, 35)], &[(1, 20, 29)], &[(1, 20, 29)]),
    (&[(1, 22, 23)], &[(1, 20, 29)], &[(1, 20, 29)]),
    (
        &[(1, 15, 60)],
        &[(1, 20, 29), (1, 40, 40)],
        &[(1, 0, 9), (1, 20, 29), (1, 40, 40)],
    ),
    // Before all chunks, behind all and behind some.
    (&[(1, -9, -1)], &[], &[]),
    (&[(1, 41, 99)], &[], &[(1, 40, 40)]),
    (&[(1, 30, 39)], &[], &[(1, 20, 29)]),
    (&[(2, 501, 502)], &[], &[(2, 0, 500)]),
    // A chunk of two spans comes once.
    (
        &[(2, 200, 300), (2, 0, 100)],
        &[(2, 0, 500)],
        &[(2, 0, 500)],
    ),
    (&[(1, 41, 50), (1, 51, 60)], &[], &[(1, 40, 40)]),
    (
        &[(1, 0, 24), (1, 25, 40)],
        &[(1, 0, 9), (1, 20, 29), (1, 40, 40)],
        &[(1, 0, 9), (1, 20, 29), (1, 40, 40)],
    ),
    // By sensor, also of one that has none.
    (
        &[(2, 0, 0), (1, 0, 0), (3, 0, 0)],
        &[(1, 0, 9), (2, 0, 500)],
        &[(1, 0, 9), (2, 0, 500)],
    ),
    (
        &[(1, i64::MIN, i64::MAX)],
        &[(1, 0, 9), (1, 20, 29), (1, 40, 40)],
        &[(1, 0, 9), (1, 20, 29), (1, 40, 40)],
    ),
    // No time, and nothing at all.
    (&[(2, 300, 200)], &[], &[]),
    (&[], &[], &[]),
];

#[rstest]
#[tokio::test]
async fn spans_find_what_overlaps_them(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    let other = [(1, 0, 1_000), (2, 0, 1_000), (3, 0, 1_000)];
    write(&*database, rows(Series::Minutes, &CHUNKS)).await;
    write(&*database, rows(Series::QuarterHours, &other)).await;
    for (asked, chunks, heads) in CASES {
        check(&*database, asked, chunks, heads).await;
    }
    database.close().await;
}

#[rstest]
#[tokio::test]
async fn spans_find_what_a_look_at_every_chunk_finds(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let database = filled(&test).await;
    let mut random = ChaCha8Rng::seed_from_u64(20);
    let all = disjoint(&mut random, 1_000);
    write(&*database, rows(Series::Minutes, &all)).await;
    let mut only_before = 0;
    for _ in 0..300 {
        let asked = disjoint(&mut random, 1_200);
        let overlap = |(sensor, start, end): &Ends, span: &Ends| {
            *sensor == span.0 && *start <= span.2 && *end >= span.1
        };
        let last_before = |span: &Ends| {
            let before = all
                .iter()
                .filter(|chunk| chunk.0 == span.0 && chunk.1 < span.1);
            before.max()
        };
        let chunks: Vec<_> = all
            .iter()
            .filter(|chunk| asked.iter().any(|span| overlap(chunk, span)))
            .copied()
            .collect();
        let heads: Vec<_> = all
            .iter()
            .filter(|chunk| {
                let behind = |span: &Ends| last_before(span) == Some(chunk);
                chunks.contains(chunk) || asked.iter().any(behind)
            })
            .copied()
            .collect();
        only_before += heads.len() - chunks.len();
        check(&*database, &asked, &chunks, &heads).await;
    }
    assert!(only_before > 0, "no span was between chunks or behind them");
    database.close().await;
}

/// Ends up to about `max` that do not overlap, of each sensor.
fn disjoint(random: &mut ChaCha8Rng, max: i64) -> Vec<Ends> {
    let mut all = Vec::new();
    for sensor in 1..=3 {
        let mut start = random.random_range(0..max);
        while start < max && random.random_bool(0.9) {
            let end = start + random.random_range(0..60);
            all.push((sensor, start, end));
            start = end + random.random_range(1..60);
        }
    }
    all
}

fn rows(series: Series, chunks: &[Ends]) -> Vec<(Series, Chunk)> {
    let chunks = chunks.iter();
    chunks
        .map(|(sensor, start, end)| (series, chunk(*sensor, *start, *end)))
        .collect()
}

async fn check(database: &dyn Database, asked: &[Ends], chunks: &[Ends], heads: &[Ends]) {
    let asked = spans(asked);
    let expected: Vec<_> = rows(Series::Minutes, chunks)
        .into_iter()
        .map(|(_, c)| c)
        .collect();
    let found = database.chunks(Series::Minutes, &asked, usize::MAX);
    let found = found.await.unwrap().unwrap();
    assert_eq!(found, expected, "{asked:?}");
    let expected: Vec<_> = rows(Series::Minutes, heads)
        .into_iter()
        .map(|(_, chunk)| chunk.head)
        .collect();
    let found = database.chunk_heads(Series::Minutes, &asked).await.unwrap();
    assert_eq!(found, expected, "{asked:?}");
}
