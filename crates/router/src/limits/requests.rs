//! Recent requests by address, for apps with rate or concurrency limits; all workers share the state.
//!
//! A request of such an app takes one of many locks for a moment; others take none. The memory is bounded: when so
//! many addresses send requests that there is no room, the others share one place for each app. An IPv6 address
//! counts as its network of 64 bits, since such a network belongs to one customer.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::edge::{RequestBound, RequestLimits};
use domain::routing::RouteOwner;

const SHARDS: usize = 16;
/// Addresses that one shard remembers: 65,536 in all, some 4 MiB.
const ADDRESSES_MAX: usize = 4_096;
/// A full shard looks this often at most for those that have been quiet.
const CLEAR_EVERY_NS: u64 = 100_000_000;
/// Retry-After for clients that have too many requests under way: nobody knows when one ends.
const COME_BACK: Duration = Duration::from_secs(1);

pub(crate) struct LimitTable {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    begun: Instant,
    addresses_max: usize,
}

#[derive(Default)]
struct Shard {
    known: HashMap<LimitKey, Use>,
    cleared_at_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LimitKey {
    owner: u64,
    who: LimitSubject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum LimitSubject {
    All,
    V4(u32),
    V6(u64),
    /// Those for whom there was no room.
    Others,
}

#[derive(Debug, Clone, Copy, Default)]
struct Use {
    taken_until_ns: u64,
    at_once: u32,
}

/// Counts a request as under way for as long as it lives.
pub(crate) struct RequestPermit {
    _counts: [Option<LimitCount>; 2],
}

struct LimitCount {
    table: Arc<LimitTable>,
    key: LimitKey,
}

impl LimitTable {
    pub(crate) fn new() -> Self {
        Self::with_room(ADDRESSES_MAX)
    }

    fn with_room(addresses_max: usize) -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), begun: Instant::now(), addresses_max }
    }

    /// Lets a request pass that asks now, or says how long to wait.
    pub(crate) fn admit(
        self: &Arc<Self>,
        limits: &RequestLimits,
        owner: &RouteOwner,
        address: IpAddr,
    ) -> Result<Option<RequestPermit>, Duration> {
        if limits.are_none() {
            return Ok(None);
        }
        let owner = self.hasher.hash_one(owner);
        let now_ns = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // The address first: a request refused for it takes nothing from the others.
        let client = self.take(&limits.client, LimitKey { owner, who: LimitSubject::of(address) }, now_ns)?;
        let app = self.take(&limits.app, LimitKey { owner, who: LimitSubject::All }, now_ns)?;
        Ok(Some(RequestPermit { _counts: [client, app] }))
    }

    fn take(
        self: &Arc<Self>,
        bound: &RequestBound,
        mut key: LimitKey,
        now_ns: u64,
    ) -> Result<Option<LimitCount>, Duration> {
        if *bound == RequestBound::default() {
            return Ok(None);
        }
        let mut shard = self.shard(key);
        if !shard.has_room(key, self.addresses_max, now_ns) {
            drop(shard);
            key.who = LimitSubject::Others;
            shard = self.shard(key);
        }
        let used = shard.known.entry(key).or_default();
        if bound.at_once_max.is_some_and(|max| used.at_once >= max) {
            return Err(COME_BACK);
        }
        if let Some(pace) = bound.pace {
            used.taken_until_ns = pace.admit(used.taken_until_ns, now_ns)?;
        }
        if bound.at_once_max.is_none() {
            return Ok(None);
        }
        used.at_once += 1;
        Ok(Some(LimitCount { table: Arc::clone(self), key }))
    }

    fn shard(&self, key: LimitKey) -> MutexGuard<'_, Shard> {
        let number = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Returns true if there is a place for this key, after idle keys were removed.
    fn has_room(&mut self, key: LimitKey, addresses_max: usize, now_ns: u64) -> bool {
        if self.known.len() < addresses_max || self.known.contains_key(&key) {
            return true;
        }
        if now_ns.saturating_sub(self.cleared_at_ns) >= CLEAR_EVERY_NS {
            self.cleared_at_ns = now_ns;
            self.known.retain(|_, used| used.at_once > 0 || used.taken_until_ns > now_ns);
        }
        // Keys that are no address are bounded by the number of apps.
        self.known.len() < addresses_max || matches!(key.who, LimitSubject::All | LimitSubject::Others)
    }
}

impl LimitSubject {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Drop for LimitCount {
    fn drop(&mut self) {
        if let Some(used) = self.table.shard(self.key).known.get_mut(&self.key) {
            used.at_once -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::edge::RequestRate;

    use super::*;

    const HOUR_NS: u64 = 3_600_000_000_000;

    fn once_an_hour() -> RequestBound {
        RequestBound { pace: Some(RequestRate { every_ns: HOUR_NS, burst: 0 }), at_once_max: None }
    }

    fn owner(name: &str) -> RouteOwner {
        RouteOwner::Platform(name.to_owned())
    }

    fn passes(table: &Arc<LimitTable>, limits: &RequestLimits, app: &str, address: &str) -> bool {
        table.admit(limits, &owner(app), address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn each_address_and_each_app_has_its_own_count() {
        let table = Arc::new(LimitTable::new());
        let limits = RequestLimits { client: once_an_hour(), app: RequestBound::default() };
        let passes = |app, address| passes(&table, &limits, app, address);

        assert!(passes("blog", "192.0.2.1") && passes("blog", "192.0.2.2") && passes("shop", "192.0.2.1"));
        assert!(!passes("blog", "192.0.2.1") && !passes("blog", "::ffff:192.0.2.2"));
        assert!(passes("blog", "2001:db8::1") && passes("blog", "2001:db8:0:1::1"));
        assert!(!passes("blog", "2001:db8::ffff"), "one network of a customer");
        let wait = table.admit(&limits, &owner("blog"), "192.0.2.1".parse().expect("an address"));
        assert!(wait.err().is_some_and(|wait| wait > Duration::from_secs(3_500)));
    }

    #[test]
    fn requests_under_way_are_counted_until_they_end() {
        let table = Arc::new(LimitTable::new());
        let two = RequestBound { pace: None, at_once_max: Some(2) };
        let limits = RequestLimits { client: RequestBound::default(), app: two };
        let admit = || table.admit(&limits, &owner("blog"), "192.0.2.1".parse().expect("an address"));

        let (first, _second) = (admit().ok(), admit().ok());
        assert!(admit().is_err());
        drop(first);
        assert!(admit().is_ok());
    }

    #[test]
    fn those_for_whom_there_is_no_room_share_one_place() {
        let table = Arc::new(LimitTable::with_room(1));
        let limits = RequestLimits { client: once_an_hour(), app: RequestBound::default() };

        let passed = (0..1_000_u32).filter(|number| {
            let address = std::net::Ipv4Addr::from(*number).to_string();
            passes(&table, &limits, "blog", &address)
        });

        assert!(passed.count() <= SHARDS + 1);
        let known: usize = table.shards.iter().map(|shard| shard.lock().expect("fine").known.len()).sum();
        assert!(known <= SHARDS + 1, "{known}");
    }
}
