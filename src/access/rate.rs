//! Rate limits by account, key or address.
//!
//! Requests are counted for each account and each key, and for each address where there is neither.
//! An IPv6 address counts as its /64, which is what one customer of a provider has.

use crate::http::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Addresses, and names that somebody only says, that are counted one by one. Once there are more they
/// share one count until the idle ones are forgotten, so that made-up ones cannot fill memory. Keys
/// and accounts whose credentials are right are counted apart and never share.
const UNKNOWN_MAX: usize = 65_536;
/// Seconds' worth of readings that pass at once: devices send what they have gathered, and a gateway
/// that was away for a day has much.
const READINGS_BURST_S: u32 = 10;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    Address(IpAddr),
    /// Hash of the name of a key or an account whose credentials are right.
    Known(u64),
    /// Hash of a name that somebody says.
    Said(u64),
    Others,
}

/// The part of an address that is one customer.
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// All limits.
#[derive(Debug)]
pub struct RateLimits {
    pub ingest: RateLimit,
    pub readings: RateLimit,
    pub api: RateLimit,
    pub login: RateLimit,
    names: RandomState,
}

/// One limit.
pub struct RateLimit {
    name: &'static str,
    /// What is counted.
    unit: &'static str,
    /// How many at once, and in which time as many come back.
    burst: u32,
    window: Duration,
    limiters: Option<Limiters>,
    /// More than [`UNKNOWN_MAX`] are counted.
    is_full: AtomicBool,
}

struct Limiters {
    known: DefaultKeyedRateLimiter<Counted>,
    unknown: DefaultKeyedRateLimiter<Counted>,
}

/// Somebody has asked for too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    name: &'static str,
    unit: &'static str,
    burst: u32,
    window: Duration,
    retry_after: Duration,
}

impl RateLimits {
    /// Requests a second for readings and for everything else, and attempts to log in a minute; 0 is
    /// no limit.
    pub fn new(ingest_per_s: u32, api_per_s: u32, login_per_min: u32) -> Self {
        // Twice a second's worth at once comes back in two seconds.
        let window = Duration::from_secs(2);
        Self {
            ingest: RateLimit::new("ingest", ingest_per_s.saturating_mul(2), window),
            readings: RateLimit::new("readings", 0, window),
            api: RateLimit::new("api", api_per_s.saturating_mul(2), window),
            login: RateLimit::new("login", login_per_min, Duration::from_mins(1)),
            names: RandomState::new(),
        }
    }

    /// The same with so many readings a second, and [`READINGS_BURST_S`] seconds' worth of them at once;
    /// never fewer than one request may have, or it could never be taken. 0 is no limit.
    #[must_use]
    pub fn with_readings(mut self, per_s: u32, request_max: usize) -> Self {
        let request_max = u32::try_from(request_max).unwrap_or(u32::MAX);
        if per_s > 0 {
            let burst = per_s.saturating_mul(READINGS_BURST_S).max(request_max);
            let window = Duration::from_secs_f64(f64::from(burst) / f64::from(per_s));
            self.readings = RateLimit {
                unit: "readings",
                ..RateLimit::new("readings", burst, window)
            };
        }
        self
    }

    /// A key or an account whose credentials are right.
    pub fn known(&self, kind: &str, name: &str) -> Counted {
        Counted::Known(self.names.hash_one((kind, name)))
    }

    /// An account that somebody wants to log in to.
    pub fn said(&self, account: &str) -> Counted {
        Counted::Said(self.names.hash_one(account))
    }

    /// Forgets whom there is nothing to count of any more.
    pub fn forget_idle(&self) {
        for limit in [&self.ingest, &self.readings, &self.api, &self.login] {
            limit.forget_idle();
        }
    }
}

impl RateLimit {
    fn new(name: &'static str, burst: u32, window: Duration) -> Self {
        let quota = NonZeroU32::new(burst)
            .and_then(|burst| Some(Quota::with_period(window / burst.get())?.allow_burst(burst)));
        Self {
            name,
            unit: "requests",
            burst,
            window,
            limiters: quota.map(|quota| Limiters {
                known: RateLimiter::keyed(quota),
                unknown: RateLimiter::keyed(quota),
            }),
            is_full: AtomicBool::new(false),
        }
    }

    /// Counts one request.
    pub fn check(&self, counted: Counted) -> Result<(), Limited> {
        self.check_many(counted, NonZeroU32::MIN)
    }

    /// Counts so many at once, or none of them.
    pub fn check_many(&self, counted: Counted, count: NonZeroU32) -> Result<(), Limited> {
        let Some(Limiters { known, unknown }) = &self.limiters else {
            return Ok(());
        };
        let (limiter, counted) = match counted {
            Counted::Known(_) => (known, counted),
            _ if self.is_full.load(Ordering::Relaxed) => (unknown, Counted::Others),
            _ => (unknown, counted),
        };
        let refusal = |retry_after| Limited {
            name: self.name,
            unit: self.unit,
            burst: self.burst,
            window: self.window,
            retry_after,
        };
        match limiter.check_key_n(&counted, count) {
            Ok(checked) => checked.map_err(|not_until| {
                refusal(not_until.wait_time_from(DefaultClock::default().now()))
            }),
            Err(_more_than_ever) => Err(refusal(self.window)),
        }
    }

    fn forget_idle(&self) {
        if let Some(Limiters { known, unknown }) = &self.limiters {
            for limiter in [known, unknown] {
                limiter.retain_recent();
                limiter.shrink_to_fit();
            }
            let is_full = unknown.len() >= UNKNOWN_MAX;
            self.is_full.store(is_full, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RateLimit")
            .field("name", &self.name)
            .field("burst", &self.burst)
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

/// A 429 with what a client needs to behave (draft-ietf-httpapi-ratelimit-headers).
impl From<Limited> for Problem {
    fn from(limited: Limited) -> Self {
        let Limited {
            name,
            unit,
            burst,
            window,
            retry_after,
        } = limited;
        let whole_s = |time: Duration| time.as_secs_f64().ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float saturates when cast"
        )]
        let wait_s = (whole_s(retry_after) as u32).max(1);
        let window_s = whole_s(window);
        let header = |name, text: String| {
            let value = HeaderValue::from_str(&text).ok()?;
            Some((HeaderName::from_static(name), value))
        };
        let policy = format!("\"{name}\";q={burst};w={window_s}");
        let state = format!("\"{name}\";r=0;t={wait_s}");
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests",
            format!("{burst} {unit} within {window_s} s are allowed"),
        );
        problem.retry_after_s = Some(wait_s);
        problem.headers = [
            header("ratelimit-policy", policy),
            header("ratelimit", state),
        ]
        .into_iter()
        .flatten()
        .collect();
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_customer() {
        let of = |address: &str| customer(address.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_eq!(of("::ffff:10.0.0.1"), "10.0.0.1");
    }

    #[test]
    fn each_has_a_burst_of_its_own_and_then_is_told_to_wait() {
        let limits = RateLimits::new(3, 0, 0);
        let ada = limits.known("account", "ada");
        let passed = (0..20).filter(|_| limits.ingest.check(ada).is_ok()).count();
        assert_eq!(passed, 6);
        let limited = limits.ingest.check(ada).unwrap_err();
        let problem = Problem::from(limited);
        assert_eq!(problem.status, 429);
        assert_eq!(problem.retry_after_s, Some(1));
        let values: Vec<_> = problem.headers.iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["\"ingest\";q=6;w=2", "\"ingest\";r=0;t=1"]);
        assert!(limits.ingest.check(limits.known("key", "ada")).is_ok());
        assert!((0..1000).all(|_| limits.api.check(ada).is_ok()));
    }

    #[test]
    fn readings_are_counted_by_their_number() {
        let count = |count| NonZeroU32::new(count).unwrap();
        let limits = RateLimits::new(0, 0, 0).with_readings(1000, 4000);
        let ada = limits.known("key", "ada");
        let passed = (0..20).filter(|_| limits.readings.check_many(ada, count(4000)).is_ok());
        assert_eq!(passed.count(), 2);
        let limited = limits.readings.check_many(ada, count(4000)).unwrap_err();
        let problem = Problem::from(limited);
        assert_eq!(problem.retry_after_s, Some(2));
        assert_eq!(problem.detail, "10000 readings within 10 s are allowed");
        let bob = limits.known("key", "bob");
        assert!(limits.readings.check_many(bob, count(10_000)).is_ok());

        // What one request may have passes, however slow the rate.
        let limits = RateLimits::new(0, 0, 0).with_readings(1, 4000);
        assert!(limits.readings.check_many(ada, count(4000)).is_ok());
        assert!(limits.readings.check_many(ada, count(1)).is_err());
        let limits = RateLimits::new(1, 0, 0).with_readings(0, 4000);
        assert!((0..9).all(|_| limits.readings.check_many(ada, count(4000)).is_ok()));
    }

    #[test]
    fn made_up_addresses_do_not_fill_memory() {
        let limits = RateLimits::new(1, 0, 0);
        for number in 0..u32::try_from(UNKNOWN_MAX).unwrap() {
            let address = Counted::Address(std::net::Ipv4Addr::from(number).into());
            assert!(limits.ingest.check(address).is_ok());
        }
        limits.forget_idle();
        let others = |number: u32| Counted::Address(std::net::Ipv4Addr::from(!number).into());
        let passed = (0..100).filter(|number| limits.ingest.check(others(*number)).is_ok());
        assert_eq!(passed.count(), 2);
        assert!(limits.ingest.check(limits.said("ada")).is_err());
        // Nobody keeps devices from posting like this.
        assert!(limits.ingest.check(limits.known("key", "a")).is_ok());
        assert!(limits.ingest.check(limits.known("key", "b")).is_ok());
    }
}
