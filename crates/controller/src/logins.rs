//! Throttling of requests without credentials, before the expensive part: by user and address together, so that a
//! guesser does not lock the user out elsewhere, and by address alone. Kept in memory: a restart forgets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::throttle::{FailureRate, FailureTable};
use jiff::Timestamp;
use listener::Source;

use crate::turns::{Turn, TurnError, TurnLimits, Turns};

/// Users and places that are remembered at once; and places alone.
const REMEMBERED_MAX: usize = 10_000;
/// Concurrent attempts of one address.
const AT_ONCE_BY_PLACE_MAX: u32 = 16;
/// Lookups of tokens for places that have shown many wrong ones.
const DOUBTFUL_TOKENS: TurnLimits =
    TurnLimits { at_once_max: 1, waiting_max: 64, wait_max: Duration::from_secs(5) };

/// A login that is refused before its password is checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ThrottleError {
    #[error("Too many failed logins, try again in {seconds} seconds.")]
    Failed { seconds: u32 },
    #[error("Too many accounts are made from this address, try again in {seconds} seconds.")]
    Registrations { seconds: u32 },
    #[error("Too many logins from this address at once, try again in a moment.")]
    AtOnce,
}

impl ThrottleError {
    pub(crate) fn seconds(&self) -> u32 {
        match self {
            Self::Failed { seconds } | Self::Registrations { seconds } => *seconds,
            Self::AtOnce => 1,
        }
    }
}

type ByName = (Option<Source>, Arc<str>);

/// Failed attempts, and those under way.
pub(crate) struct Logins {
    state: Mutex<LoginState>,
    doubtful_tokens: Turns,
}

struct LoginState {
    by_name: FailureTable<ByName>,
    by_place: FailureTable<Source>,
    registrations: FailureTable<Source>,
    tokens: FailureTable<Source>,
    under_way: HashMap<Source, u32>,
}

impl Default for Logins {
    fn default() -> Self {
        let state = LoginState {
            by_name: FailureTable::new(FailureRate::BY_NAME, REMEMBERED_MAX),
            by_place: FailureTable::new(FailureRate::BY_PLACE, REMEMBERED_MAX),
            registrations: FailureTable::new(FailureRate::REGISTRATIONS, REMEMBERED_MAX),
            tokens: FailureTable::new(FailureRate::TOKENS, REMEMBERED_MAX),
            under_way: HashMap::new(),
        };
        Self { state: Mutex::new(state), doubtful_tokens: Turns::new(DOUBTFUL_TOKENS) }
    }
}

/// An attempt that counts as failed until it succeeded or was not judged.
pub(crate) struct LoginAttempt<'a> {
    logins: &'a Logins,
    place: Option<Source>,
    /// `None` for a registration.
    name: Option<Arc<str>>,
    rank: u32,
}

impl Logins {
    /// Lets an attempt through, or says how long to wait. It counts at once, so that many at the same time
    /// do not get more than their turn.
    pub(crate) fn begin(
        &self,
        place: Option<Source>,
        username: &str,
        now: Timestamp,
    ) -> Result<LoginAttempt<'_>, ThrottleError> {
        let mut state = self.lock();
        let failures = place.map_or(0, |place| state.by_place.count(&place, now));
        let under_way = state.enter(place)?;
        let name: Arc<str> = Arc::from(username);
        let failed = |seconds| ThrottleError::Failed { seconds };
        let added = state.by_name.add(&(place, Arc::clone(&name)), now).map_err(failed);
        let added = added.and_then(|()| {
            let added = place.map_or(Ok(()), |place| state.by_place.add(&place, now)).map_err(failed);
            added.inspect_err(|_| state.by_name.take_back(&(place, Arc::clone(&name))))
        });
        if let Err(throttled) = added {
            state.leave(place);
            return Err(throttled);
        }
        Ok(LoginAttempt { logins: self, place, name: Some(name), rank: failures + under_way })
    }

    /// The same for the making of an account.
    pub(crate) fn begin_registration(
        &self,
        place: Option<Source>,
        now: Timestamp,
    ) -> Result<LoginAttempt<'_>, ThrottleError> {
        let mut state = self.lock();
        let made = place.map_or(0, |place| state.registrations.count(&place, now));
        let under_way = state.enter(place)?;
        let added = place.map_or(Ok(()), |place| state.registrations.add(&place, now));
        if let Err(seconds) = added {
            state.leave(place);
            return Err(ThrottleError::Registrations { seconds });
        }
        // Logins go before registrations.
        Ok(LoginAttempt { logins: self, place, name: None, rank: made + under_way + 1 })
    }

    /// Called before a token is looked up: an address that has sent many unknown tokens waits for a turn.
    pub(crate) async fn token_turn(
        &self,
        place: Option<Source>,
        now: Timestamp,
    ) -> Result<Option<Turn>, TurnError> {
        let wrong = place.map_or(0, |place| self.lock().tokens.count(&place, now));
        if wrong < FailureRate::TOKENS.failures_max {
            return Ok(None);
        }
        self.doubtful_tokens.take(wrong).await.map(Some)
    }

    /// Nobody has the token.
    pub(crate) fn wrong_token(&self, place: Option<Source>, now: Timestamp) {
        if let Some(place) = place {
            // More than are counted are refused by turns.
            let _ = self.lock().tokens.add(&place, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, LoginState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoginState {
    /// Counts an attempt as under way; returns the number of others.
    fn enter(&mut self, place: Option<Source>) -> Result<u32, ThrottleError> {
        let Some(place) = place else { return Ok(0) };
        let under_way = self.under_way.entry(place).or_default();
        if *under_way >= AT_ONCE_BY_PLACE_MAX {
            return Err(ThrottleError::AtOnce);
        }
        *under_way += 1;
        Ok(*under_way - 1)
    }

    fn leave(&mut self, place: Option<Source>) {
        let Some(place) = place else { return };
        match self.under_way.get_mut(&place) {
            Some(under_way) if *under_way > 1 => *under_way -= 1,
            _ => drop(self.under_way.remove(&place)),
        }
    }
}

impl LoginAttempt<'_> {
    /// Rank in the queue; lower goes first.
    pub(crate) fn rank(&self) -> u32 {
        self.rank
    }

    /// The password was right: what failed before under this name is forgotten.
    pub(crate) fn succeeded(self) {
        let mut state = self.logins.lock();
        if let Some(name) = &self.name {
            state.by_name.clear(&(self.place, Arc::clone(name)));
            if let Some(place) = self.place {
                state.by_place.take_back(&place);
            }
        }
    }

    /// There was no room, or what knows passwords did not answer: nobody's fault.
    pub(crate) fn not_judged(self) {
        let mut state = self.logins.lock();
        if let Some(name) = &self.name {
            state.by_name.take_back(&(self.place, Arc::clone(name)));
        }
        let Some(place) = self.place else { return };
        match self.name {
            Some(_) => state.by_place.take_back(&place),
            None => state.registrations.take_back(&place),
        }
    }
}

impl Drop for LoginAttempt<'_> {
    fn drop(&mut self) {
        self.logins.lock().leave(self.place);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use domain::throttle::FAILURES_MAX;

    use super::*;

    fn place(text: &str) -> Option<Source> {
        Some(Source::from(text.parse::<IpAddr>().expect("an address")))
    }

    #[test]
    fn who_guesses_waits_and_the_user_elsewhere_does_not() {
        let (logins, now) = (Logins::default(), Timestamp::now());
        for _ in 0..FAILURES_MAX {
            assert!(logins.begin(place("10.0.0.1"), "alice", now).is_ok());
        }

        assert!(logins.begin(place("10.0.0.1"), "alice", now).is_err());
        assert!(logins.begin(place("10.0.0.1"), "bob", now).is_ok());
        logins.begin(place("10.0.0.2"), "alice", now).expect("another place").succeeded();
    }

    #[test]
    fn who_guesses_many_names_waits_and_may_come_from_a_whole_network() {
        let (logins, now) = (Logins::default(), Timestamp::now());
        let mut tried = 0;
        while logins.begin(place(&format!("2001:db8::{tried:x}")), &tried.to_string(), now).is_ok() {
            tried += 1;
        }

        assert_eq!(tried, FailureRate::BY_PLACE.failures_max);
        assert!(logins.begin(place("2001:db8:0:1::1"), "alice", now).is_ok());
    }

    #[test]
    fn a_success_forgets_and_memory_is_bounded() {
        let (logins, now) = (Logins::default(), Timestamp::now());
        for _ in 0..3 * FailureRate::BY_PLACE.failures_max {
            logins.begin(place("10.0.0.1"), "alice", now).expect("nothing failed").succeeded();
        }
        assert!(logins.lock().under_way.is_empty());
    }

    #[test]
    fn refusals_for_load_do_not_count_as_failed_logins() {
        let (logins, now) = (Logins::default(), Timestamp::now());
        for _ in 0..3 * FAILURES_MAX {
            logins.begin(place("10.0.0.1"), "alice", now).expect("nothing failed").not_judged();
        }
        let held: Vec<_> = (0..AT_ONCE_BY_PLACE_MAX)
            .map(|it| logins.begin(place("10.0.0.1"), &it.to_string(), now))
            .collect();

        assert!(held.iter().all(Result::is_ok));
        for _ in 0..3 * FAILURES_MAX {
            assert_eq!(logins.begin(place("10.0.0.1"), "alice", now).err(), Some(ThrottleError::AtOnce));
        }
        drop(held);
        assert_eq!(logins.begin(place("10.0.0.1"), "alice", now).expect("room").rank(), AT_ONCE_BY_PLACE_MAX);
    }

    #[tokio::test]
    async fn who_shows_many_wrong_tokens_waits_for_turns_and_others_do_not() {
        let (logins, now) = (Logins::default(), Timestamp::now());
        for _ in 0..FailureRate::TOKENS.failures_max {
            assert!(logins.token_turn(place("10.0.0.1"), now).await.is_ok_and(|turn| turn.is_none()));
            logins.wrong_token(place("10.0.0.1"), now);
        }

        assert!(logins.token_turn(place("10.0.0.1"), now).await.is_ok_and(|turn| turn.is_some()));
        assert!(logins.token_turn(place("10.0.0.2"), now).await.is_ok_and(|turn| turn.is_none()));
    }
}
