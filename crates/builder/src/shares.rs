//! Counts of work under way, in all and by user.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// A bound in all and one by user; clones share the counts.
#[derive(Clone)]
pub(crate) struct Shares {
    counts: Arc<Mutex<ShareCounts>>,
    freed: Arc<Notify>,
    /// Users below their share that wait for others.
    waiting: Arc<AtomicUsize>,
    total_max: usize,
    by_user_max: usize,
}

#[derive(Default)]
struct ShareCounts {
    total: usize,
    by_user: HashMap<String, usize>,
}

/// Counts until it is dropped.
pub(crate) struct SharePermit {
    shares: Shares,
    user: String,
}

/// The limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShareExceeded {
    /// All users together have as many as there may be.
    Total,
    /// The user has their share.
    User,
}

impl Shares {
    pub(crate) fn new(total_max: usize, by_user_max: usize) -> Self {
        Self {
            counts: Arc::default(),
            freed: Arc::default(),
            waiting: Arc::default(),
            total_max,
            by_user_max,
        }
    }

    pub(crate) fn by_user_max(&self) -> usize {
        self.by_user_max
    }

    pub(crate) fn try_take(&self, user: &str) -> Result<SharePermit, ShareExceeded> {
        let mut counts = self.lock();
        let of_user = counts.by_user.get(user).copied().unwrap_or(0);
        if of_user >= self.by_user_max {
            return Err(ShareExceeded::User);
        }
        if counts.total >= self.total_max {
            return Err(ShareExceeded::Total);
        }
        counts.total += 1;
        counts.by_user.insert(user.to_owned(), of_user + 1);
        Ok(SharePermit { shares: self.clone(), user: user.to_owned() })
    }

    /// Returns true if a user waits because others hold all permits.
    pub(crate) fn others_wait(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Waits until one is free, for `timeout` at most.
    pub(crate) async fn take(&self, user: &str, timeout: Duration) -> Result<SharePermit, ShareExceeded> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let full = match self.try_take(user) {
                Ok(share) => return Ok(share),
                Err(full) => full,
            };
            let _waits = (full == ShareExceeded::Total).then(|| WaiterCount::new(&self.waiting));
            if tokio::time::timeout_at(deadline, freed).await.is_err() {
                return Err(full);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, ShareCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a waiting caller until dropped.
struct WaiterCount<'a>(&'a AtomicUsize);

impl<'a> WaiterCount<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for WaiterCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for SharePermit {
    fn drop(&mut self) {
        let mut counts = self.shares.lock();
        counts.total -= 1;
        match counts.by_user.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.by_user.remove(&self.user)),
        }
        drop(counts);
        self.shares.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_share_and_all_have_the_total() {
        let shares = Shares::new(3, 2);
        let held = [shares.try_take("alice"), shares.try_take("alice"), shares.try_take("bob")];

        assert!(held.iter().all(Result::is_ok));
        assert_eq!(shares.try_take("alice").err(), Some(ShareExceeded::User));
        assert_eq!(shares.try_take("carol").err(), Some(ShareExceeded::Total));
        drop(held);
        assert!(shares.try_take("carol").is_ok());
        assert!(shares.lock().by_user.is_empty());
    }

    #[tokio::test]
    async fn who_waits_gets_what_is_freed_and_who_waits_in_vain_is_told_why() {
        let shares = Shares::new(1, 1);
        let held = shares.try_take("alice").ok();

        let (waited, ()) = tokio::join!(shares.take("bob", Duration::from_secs(30)), async { drop(held) });
        let late = shares.take("carol", Duration::from_millis(1)).await;

        assert!(waited.is_ok());
        assert_eq!(late.err(), Some(ShareExceeded::Total));
        assert!(!shares.others_wait());
    }
}
