//! Number of open connections of a listener, in all and by source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Network, Source};

/// Bounds of one listener.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Open at once, in all.
    pub total_max: usize,
    /// Open at once from one [`Source`].
    pub by_source_max: usize,
    /// Ranges without a share of their own, such as trusted proxies: they count in `total_max` only.
    pub without_share: Vec<Network>,
}

/// A refused connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// The listener has as many as it takes.
    Total,
    /// This source has its share.
    Source,
}

impl std::fmt::Display for ConnectionRefusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Total => "too many connections",
            Self::Source => "too many connections from this address",
        })
    }
}

impl std::error::Error for ConnectionRefusal {}

/// Counts open connections; clones share the counts. Memory is bounded by `total_max`.
#[derive(Debug, Clone)]
pub struct ConnectionLimit {
    limits: Arc<ConnectionLimits>,
    open: Arc<Mutex<OpenCounts>>,
}

#[derive(Debug, Default)]
struct OpenCounts {
    total: usize,
    by_source: HashMap<Source, usize>,
}

/// One open connection; it counts until this is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    open: Arc<Mutex<OpenCounts>>,
    source: Option<Source>,
}

impl ConnectionLimit {
    pub fn new(limits: ConnectionLimits) -> Self {
        Self { limits: Arc::new(limits), open: Arc::default() }
    }

    /// Counts a connection from this address.
    ///
    /// # Errors
    ///
    /// The source has its share, or the listener has all that it takes.
    pub fn admit(&self, address: IpAddr) -> Result<ConnectionPermit, ConnectionRefusal> {
        let has_share = !self.limits.without_share.iter().any(|network| network.contains(address));
        self.admit_source(has_share.then(|| Source::from(address)))
    }

    /// Counts one for this source; `None` has no share of its own.
    ///
    /// # Errors
    ///
    /// The source has its share, or the listener has all that it takes.
    pub fn admit_source(&self, source: Option<Source>) -> Result<ConnectionPermit, ConnectionRefusal> {
        let mut open = lock(&self.open);
        let of_source = source.and_then(|source| open.by_source.get(&source).copied()).unwrap_or(0);
        if source.is_some() && of_source >= self.limits.by_source_max {
            return Err(ConnectionRefusal::Source);
        }
        if open.total >= self.limits.total_max {
            return Err(ConnectionRefusal::Total);
        }
        open.total += 1;
        if let Some(source) = source {
            open.by_source.insert(source, of_source + 1);
        }
        Ok(ConnectionPermit { open: Arc::clone(&self.open), source })
    }

    /// Number of open connections.
    pub fn open(&self) -> usize {
        lock(&self.open).total
    }
}

impl ConnectionPermit {
    /// Source whose share it uses, if any.
    pub fn source(&self) -> Option<Source> {
        self.source
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.total -= 1;
        let Some(source) = self.source else { return };
        match open.by_source.get_mut(&source) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.by_source.remove(&source)),
        }
        // A flood leaves a large table behind: its room is given back once it is gone.
        if open.by_source.is_empty() {
            open.by_source.shrink_to_fit();
        }
    }
}

fn lock(open: &Mutex<OpenCounts>) -> MutexGuard<'_, OpenCounts> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(total_max: usize, by_source_max: usize) -> ConnectionLimit {
        let without_share = vec!["10.0.0.0/8".parse().expect("a range")];
        ConnectionLimit::new(ConnectionLimits { total_max, by_source_max, without_share })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_source_has_its_share_and_no_more() {
        let limit = limit(10, 2);
        let stranger = address("192.0.2.1");
        let held = (limit.admit(stranger), limit.admit(stranger));

        assert!(held.0.is_ok() && held.1.is_ok());
        assert_eq!(limit.admit(stranger).err(), Some(ConnectionRefusal::Source));
        assert!(limit.admit(address("192.0.2.2")).is_ok());
        drop(held.0);
        assert!(limit.admit(stranger).is_ok());
    }

    #[test]
    fn all_sources_together_have_the_total_and_no_more() {
        let limit = limit(3, 2);
        let held: Vec<_> = (1..=3).map(|last| limit.admit(address(&format!("192.0.2.{last}")))).collect();

        assert!(held.iter().all(Result::is_ok));
        assert_eq!(limit.admit(address("192.0.2.9")).err(), Some(ConnectionRefusal::Total));
        assert_eq!(limit.open(), 3);
    }

    #[test]
    fn a_trusted_proxy_has_no_share_of_its_own() {
        let limit = limit(5, 1);
        let held: Vec<_> = (0..5).map(|_| limit.admit(address("10.1.2.3"))).collect();

        assert!(held.iter().all(Result::is_ok));
        assert_eq!(limit.admit(address("10.1.2.3")).err(), Some(ConnectionRefusal::Total));
    }

    #[test]
    fn closed_connections_leave_nothing_behind() {
        let limit = limit(10, 5);
        let held = [limit.admit(address("192.0.2.1")), limit.admit(address("2001:db8::1"))];
        drop(held);

        assert_eq!(limit.open(), 0);
        assert!(lock(&limit.open).by_source.is_empty());
    }
}
