//! Concurrency limits of long requests: each holds a connection and memory for as long as its client stays. A user
//! has a share of each limit, so that one user cannot take all of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Logs that are followed at the same time, in all and by one user.
const FOLLOWERS_MAX: UserShares = UserShares { total: 500, by_user: 50 };
/// Interactive sessions.
const SESSIONS_MAX: UserShares = UserShares { total: 100, by_user: 20 };
/// One-off processes with a waiting client.
const RUNS_MAX: UserShares = UserShares { total: 200, by_user: 40 };

/// Lookups in the DNS.
const LOOKUPS_MAX: UserShares = UserShares { total: 64, by_user: 8 };

#[derive(Debug, Clone, Copy)]
struct UserShares {
    total: usize,
    by_user: usize,
}

/// The limits of one controller.
#[derive(Clone)]
pub(crate) struct ConcurrencyLimits {
    pub(crate) followers: ConcurrencyLimit,
    pub(crate) sessions: ConcurrencyLimit,
    pub(crate) runs: ConcurrencyLimit,
    pub(crate) lookups: ConcurrencyLimit,
}

impl Default for ConcurrencyLimits {
    fn default() -> Self {
        Self {
            followers: ConcurrencyLimit::new(FOLLOWERS_MAX),
            sessions: ConcurrencyLimit::new(SESSIONS_MAX),
            runs: ConcurrencyLimit::new(RUNS_MAX),
            lookups: ConcurrencyLimit::new(LOOKUPS_MAX),
        }
    }
}

/// Reason why no permit is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitExceeded {
    /// All users together hold as many as there may be.
    Total,
    /// This user holds this many, the share of one.
    Share(usize),
}

/// Counts permits in all and by user; a clone counts with it.
#[derive(Clone)]
pub(crate) struct ConcurrencyLimit {
    limits: UserShares,
    held: Arc<Mutex<PermitCounts>>,
}

#[derive(Default)]
struct PermitCounts {
    total: usize,
    /// Users with at least one permit: never more than `UserShares::total`.
    by_user: HashMap<String, usize>,
}

/// Given back when dropped.
pub(crate) struct ConcurrencyPermit {
    held: Arc<Mutex<PermitCounts>>,
    user: String,
}

impl ConcurrencyLimit {
    fn new(limits: UserShares) -> Self {
        Self { limits, held: Arc::default() }
    }

    /// Takes a permit for `user`.
    ///
    /// # Errors
    ///
    /// The user's share is checked first, so that its error does not blame others.
    pub(crate) fn acquire(&self, user: &str) -> Result<ConcurrencyPermit, LimitExceeded> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.by_user.get(user).is_some_and(|count| *count >= self.limits.by_user) {
            return Err(LimitExceeded::Share(self.limits.by_user));
        }
        if held.total >= self.limits.total {
            return Err(LimitExceeded::Total);
        }
        held.total += 1;
        *held.by_user.entry(user.to_owned()).or_default() += 1;
        Ok(ConcurrencyPermit { held: Arc::clone(&self.held), user: user.to_owned() })
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.total -= 1;
        if let Some(count) = held.by_user.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_has_a_share_and_what_is_given_back_is_free_again() {
        let limit = ConcurrencyLimit::new(UserShares { total: 3, by_user: 2 });
        let alices = [(); 2].map(|()| limit.acquire("alice").expect("her share"));

        assert_eq!(limit.acquire("alice").err(), Some(LimitExceeded::Share(2)));
        let _bobs = limit.acquire("bob").expect("the last");
        assert_eq!(limit.acquire("bob").err(), Some(LimitExceeded::Total));

        drop(alices);
        assert!(limit.acquire("bob").is_ok());
        assert_eq!(limit.held.lock().expect("no panic").by_user.len(), 1);
    }
}
