//! Throttles the guessing of passwords: by user and place together, so that who guesses does not lock out
//! the user elsewhere. Kept in memory: a restart forgets.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::throttle::Failures;
use jiff::Timestamp;

/// Users and places that are remembered at once.
const REMEMBERED_MAX: usize = 10_000;

/// Why a password is not even looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Too many failed logins, try again in {seconds} seconds.")]
pub(crate) struct Throttled {
    seconds: u32,
}

/// Failed attempts by place and user.
#[derive(Default)]
pub(crate) struct Logins {
    failures: Mutex<HashMap<(String, String), Failures>>,
}

/// An attempt that counts as failed until it succeeded.
pub(crate) struct Attempt<'a> {
    logins: &'a Logins,
    key: (String, String),
}

impl Logins {
    /// Lets an attempt through, or says how long to wait. It counts at once, so that many at the same time
    /// do not get more than their turn.
    pub(crate) fn begin(
        &self,
        place: &str,
        username: &str,
        now: Timestamp,
    ) -> Result<Attempt<'_>, Throttled> {
        let key = (place.to_owned(), username.to_owned());
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED_MAX && !all.contains_key(&key) {
            all.retain(|_, failures| !failures.is_forgotten(now));
            if all.len() >= REMEMBERED_MAX {
                // Somebody guesses from everywhere; the slow hash and its few turns hold them up.
                all.clear();
            }
        }
        let failures = all.entry(key.clone()).or_insert_with(|| Failures::none(now));
        failures.add(now).map_err(|seconds| Throttled { seconds })?;
        Ok(Attempt { logins: self, key })
    }
}

impl Attempt<'_> {
    /// The password was right: what failed before is forgotten.
    pub(crate) fn succeeded(self) {
        self.logins.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use domain::throttle::FAILURES_MAX;

    use super::*;

    #[test]
    fn who_guesses_waits_and_the_user_elsewhere_does_not() {
        let (logins, now) = (Logins::default(), Timestamp::now());
        for _ in 0..FAILURES_MAX {
            assert!(logins.begin("10.0.0.1", "alice", now).is_ok());
        }

        assert!(logins.begin("10.0.0.1", "alice", now).is_err());
        assert!(logins.begin("10.0.0.1", "bob", now).is_ok());
        logins.begin("10.0.0.2", "alice", now).expect("another place").succeeded();
    }

    #[test]
    fn a_success_forgets_and_memory_is_bounded() {
        let (logins, now) = (Logins::default(), Timestamp::now());
        for _ in 0..3 * FAILURES_MAX {
            logins.begin("", "alice", now).expect("nothing failed").succeeded();
        }
        for number in 0..REMEMBERED_MAX + 10 {
            drop(logins.begin("", &number.to_string(), now));
        }

        assert!(logins.failures.lock().expect("no panic").len() <= REMEMBERED_MAX);
    }
}
