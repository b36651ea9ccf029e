use super::*;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use tokio::time::Instant;

const WAIT: Duration = Duration::from_secs(2);

#[expect(clippy::unnecessary_wraps, reason = "an owner need not be known")]
fn owner(number: u8) -> Owner {
    Some(Counted::Address(IpAddr::V4(Ipv4Addr::new(
        10, 0, 0, number,
    ))))
}

fn pool(bytes_max: usize) -> Arc<Pool> {
    Pool::new(bytes_max)
}

fn used(pool: &Arc<Pool>) -> usize {
    pool.state.lock().used
}

#[tokio::test(start_paused = true)]
async fn one_owner_has_a_part_and_others_have_theirs() {
    let pool = pool(100);
    let mut leases = Vec::new();
    for _ in 0..2 {
        leases.push(pool.lease(owner(1), 12, WAIT).await.unwrap());
    }
    let begun = Instant::now();
    assert_eq!(
        pool.lease(owner(1), 2, WAIT).await.unwrap_err(),
        TooMuchRead
    );
    assert_eq!(begun.elapsed(), WAIT);
    for other in 2..5 {
        leases.push(pool.lease(owner(other), 25, WAIT).await.unwrap());
    }
    assert_eq!(begun.elapsed(), WAIT, "others do not wait");
    assert_eq!(used(&pool), 99);
}

#[test]
fn many_who_take_all_they_may_leave_some() {
    let pool = pool(1000);
    let mut leases = Vec::new();
    for greedy in 1..=10 {
        while let Some(lease) = pool.try_lease(owner(greedy), 1) {
            leases.push(lease);
        }
    }
    assert!(used(&pool) < 960, "{} of 1000", used(&pool));
    assert_eq!(pool.try_lease(owner(11), 40).unwrap().bytes(), 40);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_himself_lets_others_pass() {
    let pool = pool(100);
    let lease = pool.lease(owner(1), 25, WAIT).await.unwrap();
    let mut second = pin!(pool.lease(owner(1), 25, WAIT));
    assert!(futures_util::poll!(&mut second).is_pending());
    let other = pool.try_lease(owner(2), 25).unwrap();
    drop(lease);
    assert_eq!(second.await.unwrap().bytes(), 25);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn what_is_free_goes_to_who_has_waited_longest() {
    let pool = pool(100);
    let small = pool.lease(owner(1), 20, WAIT).await.unwrap();
    let large = pool.lease(owner(2), 60, WAIT).await.unwrap();
    let mut first = pin!(pool.lease(owner(3), 80, WAIT));
    assert!(futures_util::poll!(&mut first).is_pending());
    let mut second = pin!(pool.lease(owner(4), 10, WAIT));
    assert!(
        futures_util::poll!(&mut second).is_pending(),
        "it would fit, but is not the first"
    );
    assert!(pool.try_lease(owner(5), 10).is_none());
    drop(large);
    let first = first.await.unwrap();
    assert_eq!(first.bytes(), 80);
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(small);
    assert_eq!(second.await.unwrap().bytes(), 10);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_is_in_nobodys_way() {
    let pool = pool(100);
    let held = pool.lease(owner(1), 60, WAIT).await.unwrap();
    let mut patient = pin!(pool.lease(owner(3), 30, Duration::from_secs(9)));
    {
        let mut impatient = pin!(pool.lease(owner(2), 80, Duration::from_secs(1)));
        assert!(futures_util::poll!(&mut impatient).is_pending());
        assert!(futures_util::poll!(&mut patient).is_pending());
        assert_eq!(impatient.await.unwrap_err(), TooMuchRead);
    }
    assert_eq!(patient.await.unwrap().bytes(), 30);
    drop(held);
    assert_eq!(used(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_given_to_somebody_who_has_gone_comes_back() {
    let pool = pool(100);
    let held = pool.lease(owner(1), 100, WAIT).await.unwrap();
    {
        let mut waiting = pin!(pool.lease(owner(2), 100, WAIT));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(held);
        assert_eq!(used(&pool), 100, "given, but not taken yet");
    }
    assert_eq!(used(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_shrinks_and_grows() {
    let pool = pool(100);
    let mut lease = pool.lease(owner(1), 20, WAIT).await.unwrap();
    assert!(lease.grow(5));
    assert!(!lease.grow(1), "more than the part of one");
    lease.shrink_to(10);
    lease.shrink_to(30);
    assert_eq!((lease.bytes(), used(&pool)), (10, 10));
    drop(lease);
    assert_eq!(used(&pool), 0);
    assert!(pool.state.lock().by_owner.is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_gets_even_what_is_larger_than_everything() {
    let pool = pool(100);
    let lease = pool.lease(owner(1), 1000, WAIT).await.unwrap();
    assert_eq!(lease.bytes(), 100);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_bounded() {
    let pool = pool(100);
    let _held = pool.lease(owner(1), 100, WAIT).await.unwrap();
    let begun = Instant::now();
    let mut waiting = Vec::new();
    for other in (2..).take(WAITING_MAX / OWNER_WAITING_MAX) {
        for _ in 0..OWNER_WAITING_MAX {
            let mut lease = Box::pin(pool.lease(owner(other), 1, WAIT));
            assert!(futures_util::poll!(&mut lease).is_pending());
            waiting.push(lease);
        }
        // Whoever has so many that wait is refused, and others are not as long as there is capacity.
        assert!(pool.lease(owner(other), 1, WAIT).await.is_err());
    }
    assert!(pool.lease(owner(99), 1, WAIT).await.is_err());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(waiting);
    assert!(pool.state.lock().waiting.is_empty());
}

proptest! {
    #[test]
    fn it_never_gives_more_than_it_has_and_gets_all_back(
        steps in prop::collection::vec((0..4_u8, 0..60_usize, any::<prop::sample::Index>()), 0..100),
    ) {
        let pool = pool(100);
        let mut leases: Vec<Lease> = Vec::new();
        for (who, bytes, which) in steps {
            match pool.try_lease(owner(who), bytes) {
                Some(lease) => leases.push(lease),
                None if !leases.is_empty() => {
                    leases.swap_remove(which.index(leases.len()));
                }
                None => prop_assert!(false, "refused though nothing is leased"),
            }
            prop_assert_eq!(used(&pool), leases.iter().map(Lease::bytes).sum::<usize>());
            prop_assert!(used(&pool) <= 100);
        }
        drop(leases);
        prop_assert_eq!(used(&pool), 0);
        prop_assert!(pool.state.lock().by_owner.is_empty());
    }
}
