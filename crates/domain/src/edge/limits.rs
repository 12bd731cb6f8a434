//! Rate and concurrency limits: their syntax, and the decision about one request.
//!
//! The keys follow nginx's `limit_req` and `limit_conn`. What was asked before is kept by the router.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::nested;
use crate::annotations::AnnotationReader;

/// A second in the unit of [`RequestRate`].
const SECOND_NS: u64 = 1_000_000_000;
/// Above this nobody is slowed down.
const REQUESTS_MAX: u32 = 1_000_000;

/// Bounds of one address and of all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestLimits {
    pub client: RequestBound,
    pub app: RequestBound,
}

/// Limits for one address, or for all addresses together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestBound {
    pub pace: Option<RequestRate>,
    /// Concurrent requests.
    pub at_once_max: Option<u32>,
}

/// Requests in time, and how many may come before theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestRate {
    pub every_ns: u64,
    pub burst: u32,
}

/// Configured part of [`RequestLimits`]. `Some(None)` removes a limit of the router.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRules {
    pub client: BoundRules,
    pub app: BoundRules,
}

/// Configured limits of one client, or of the whole app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundRules {
    /// Nanoseconds from one request to the next.
    #[serde(with = "nested")]
    pub every_ns: Option<Option<u64>>,
    /// Requests that may come at once before the rate applies.
    pub burst: Option<u32>,
    /// Most requests under way at a time.
    #[serde(with = "nested")]
    pub at_once_max: Option<Option<u32>>,
}

impl RequestLimits {
    /// Merges both; the app's values win over those of its router.
    pub fn of(router: &LimitRules, app: &LimitRules) -> Self {
        Self { client: bound(&router.client, &app.client), app: bound(&router.app, &app.app) }
    }

    /// Returns true if there is no limit at all.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

fn bound(router: &BoundRules, app: &BoundRules) -> RequestBound {
    let pace = app.every_ns.or(router.every_ns).flatten().map(|every_ns| {
        let burst = app.burst.or(router.burst);
        // Without a word about it, what a second allows: a page is seldom one request.
        let burst = burst.unwrap_or(u32::try_from(SECOND_NS / every_ns).unwrap_or(u32::MAX).max(1));
        RequestRate { every_ns, burst }
    });
    RequestBound { pace, at_once_max: app.at_once_max.or(router.at_once_max).flatten() }
}

impl RequestRate {
    /// Decides about a request at `now_ns` by a leaky bucket that earlier requests have filled until
    /// `taken_until_ns`; both count from any fixed moment. Returns the new fill level, or the time to wait.
    ///
    /// # Errors
    ///
    /// The time until this request is within the rate.
    pub fn admit(&self, taken_until_ns: u64, now_ns: u64) -> Result<u64, Duration> {
        let taken = taken_until_ns.max(now_ns);
        let ahead_max = self.every_ns.saturating_mul(u64::from(self.burst));
        match (taken - now_ns).checked_sub(ahead_max) {
            None | Some(0) => Ok(taken.saturating_add(self.every_ns)),
            Some(too_early) => Err(Duration::from_nanos(too_early)),
        }
    }
}

/// Reads `limitReq.*` and `limitConn.*`.
pub fn limit_rules(reader: &mut AnnotationReader<'_>) -> LimitRules {
    let client = BoundRules {
        every_ns: reader.read("limitReq.client", RATE, rate),
        burst: reader.number("limitReq.clientBurst"),
        at_once_max: reader.read("limitConn.client", COUNT, count),
    };
    let app = BoundRules {
        every_ns: reader.read("limitReq.app", RATE, rate),
        burst: reader.number("limitReq.appBurst"),
        at_once_max: reader.read("limitConn.app", COUNT, count),
    };
    LimitRules { client, app }
}

const RATE: &str = "a rate such as 10r/s or 30r/m, or none";
const COUNT: &str = "a number, or none";

/// nginx's `10r/s` and `30r/m`; a number alone is for a second.
fn rate(text: &str) -> Option<Option<u64>> {
    let (number, time_ns) = match text.split_once("r/") {
        Some((number, "s")) => (number, SECOND_NS),
        Some((number, "m")) => (number, 60 * SECOND_NS),
        Some(_) => return None,
        None => (text, SECOND_NS),
    };
    count(number).map(|requests| requests.map(|requests| time_ns / u64::from(requests)))
}

fn count(text: &str) -> Option<Option<u32>> {
    if text == "none" {
        return Some(None);
    }
    let number: u32 = text.parse().ok()?;
    (number <= REQUESTS_MAX).then_some(Some(number).filter(|number| *number > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_nginx_has_them() {
        for (text, every) in [
            ("10r/s", Some(Some(100_000_000))),
            ("30r/m", Some(Some(2_000_000_000))),
            ("4", Some(Some(250_000_000))),
            ("none", Some(None)),
            ("0", Some(None)),
            ("10r/h", None),
            ("2000000", None),
            ("-1r/s", None),
            ("r/s", None),
        ] {
            assert_eq!(rate(text), every, "{text}");
        }
    }

    #[test]
    fn a_burst_passes_at_once_and_then_requests_have_their_time() {
        let pace = RequestRate { every_ns: 100, burst: 2 };
        let (mut taken, now) = (0, 1_000);

        for _ in 0..3 {
            taken = pace.admit(taken, now).expect("the first and the burst");
        }
        assert_eq!(pace.admit(taken, now), Err(Duration::from_nanos(100)));
        assert_eq!(pace.admit(taken, now + 60), Err(Duration::from_nanos(40)));
        taken = pace.admit(taken, now + 100).expect("its time has come");
        assert!(pace.admit(taken, now + 100).is_err());
        // After a pause the whole burst is there again, and no more.
        let later = now + 1_000_000;
        let passed = std::iter::repeat_n((), 10).filter(|()| match pace.admit(taken, later) {
            Ok(until) => {
                taken = until;
                true
            }
            Err(_) => false,
        });
        assert_eq!(passed.count(), 3);
    }

    #[test]
    fn an_app_has_its_own_bounds_or_none_where_the_router_has_some() {
        let router = LimitRules {
            client: BoundRules {
                every_ns: Some(Some(SECOND_NS / 10)),
                burst: None,
                at_once_max: Some(Some(5)),
            },
            app: BoundRules::default(),
        };
        let own = BoundRules { every_ns: Some(None), burst: Some(3), at_once_max: None };
        let app = LimitRules { client: own, app: BoundRules { every_ns: Some(Some(7)), ..own } };

        let plain = RequestLimits::of(&router, &LimitRules::default());
        assert_eq!(plain.client.pace, Some(RequestRate { every_ns: SECOND_NS / 10, burst: 10 }));
        let both = RequestLimits::of(&router, &app);
        assert_eq!(both.client, RequestBound { pace: None, at_once_max: Some(5) });
        assert_eq!(both.app.pace, Some(RequestRate { every_ns: 7, burst: 3 }));
        assert!(RequestLimits::of(&LimitRules::default(), &LimitRules::default()).are_none());
    }
}
