//! Throttling: how many failures in a row are taken before the next attempt has to wait.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use jiff::Timestamp;

/// Failures that are taken at once.
pub const FAILURES_MAX: u32 = 10;
/// Seconds after which one failure is forgotten.
pub const FORGET_SECONDS: u32 = 6;

/// Number of failures that are accepted, and the rate at which they are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRate {
    /// Taken at once.
    pub failures_max: u32,
    /// Seconds after which one is forgotten.
    pub forget_seconds: u32,
}

impl FailureRate {
    /// Of logins with one name from one place.
    pub const BY_NAME: Self = Self { failures_max: FAILURES_MAX, forget_seconds: FORGET_SECONDS };
    /// Of logins with any name from one place: those of an office that comes to work.
    pub const BY_PLACE: Self = Self { failures_max: 60, forget_seconds: 2 };
    /// Of accounts made from one place: those of a class of students.
    pub const REGISTRATIONS: Self = Self { failures_max: 100, forget_seconds: 1 };
    /// Of requests with a token that nobody has, from one place.
    pub const TOKENS: Self = Self { failures_max: 200, forget_seconds: 1 };
}

/// Failures of one kind, such as logins of one user from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failures {
    count: u32,
    /// When `count` was right.
    at: Timestamp,
}

impl Failures {
    /// A clock that was set back forgets nothing.
    fn forget(&mut self, pace: FailureRate, now: Timestamp) {
        let passed = now.as_second().saturating_sub(self.at.as_second());
        let forgotten = u32::try_from(passed / i64::from(pace.forget_seconds)).unwrap_or(if passed < 0 {
            0
        } else {
            u32::MAX
        });
        if forgotten > 0 {
            self.count = self.count.saturating_sub(forgotten);
            self.at = now;
        }
    }

    /// The second at which nothing is left of them.
    fn gone_at(&self, pace: FailureRate) -> i64 {
        self.at.as_second().saturating_add(i64::from(self.count) * i64::from(pace.forget_seconds))
    }
}

/// Failures of many kinds. When the table is full, the failure that would expire first is removed: a client that
/// fails under many names pushes out its own single failures, not the many of another guesser.
#[derive(Debug)]
pub struct FailureTable<K> {
    pace: FailureRate,
    kinds_max: usize,
    known: HashMap<K, Failures>,
    /// By the second at which nothing is left of it.
    order: BTreeSet<(i64, K)>,
}

impl<K: Clone + Ord + Hash> FailureTable<K> {
    /// An empty table for at most `kinds_max` kinds.
    pub fn new(pace: FailureRate, kinds_max: usize) -> Self {
        Self { pace, kinds_max, known: HashMap::new(), order: BTreeSet::new() }
    }

    /// Counts one more failure.
    ///
    /// # Errors
    ///
    /// The seconds after which the next try is allowed, where the kind has reached its maximum.
    pub fn add(&mut self, kind: &K, now: Timestamp) -> Result<(), u32> {
        let pace = self.pace;
        let mut failures = self.take_out(kind).unwrap_or(Failures { count: 0, at: now });
        failures.forget(pace, now);
        let is_full = failures.count >= pace.failures_max;
        if !is_full {
            failures.count += 1;
        }
        self.make_room();
        self.put(kind, failures);
        if !is_full {
            return Ok(());
        }
        let waited = now.as_second().saturating_sub(failures.at.as_second());
        let waited = u32::try_from(waited).unwrap_or(0).min(pace.forget_seconds - 1);
        Err(pace.forget_seconds - waited)
    }

    /// Number of remembered failures of this kind.
    pub fn count(&self, kind: &K, now: Timestamp) -> u32 {
        let Some(mut failures) = self.known.get(kind).copied() else { return 0 };
        failures.forget(self.pace, now);
        failures.count
    }

    /// Takes back one that was counted and was none.
    pub fn take_back(&mut self, kind: &K) {
        let Some(mut failures) = self.take_out(kind) else { return };
        failures.count = failures.count.saturating_sub(1);
        if failures.count > 0 {
            self.put(kind, failures);
        }
    }

    /// Forgets all of this kind.
    pub fn clear(&mut self, kind: &K) {
        self.take_out(kind);
    }

    fn take_out(&mut self, kind: &K) -> Option<Failures> {
        let failures = self.known.remove(kind)?;
        self.order.remove(&(failures.gone_at(self.pace), kind.clone()));
        Some(failures)
    }

    fn put(&mut self, kind: &K, failures: Failures) {
        self.order.insert((failures.gone_at(self.pace), kind.clone()));
        self.known.insert(kind.clone(), failures);
    }

    fn make_room(&mut self) {
        while self.known.len() >= self.kinds_max
            && let Some((_, first)) = self.order.pop_first()
        {
            self.known.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    fn table(kinds_max: usize) -> FailureTable<u32> {
        FailureTable::new(FailureRate::BY_NAME, kinds_max)
    }

    #[test]
    fn after_ten_failures_each_further_attempt_waits_its_turn() {
        let mut failures = table(10);
        for _ in 0..FAILURES_MAX {
            assert_eq!(failures.add(&1, at(100)), Ok(()));
        }

        assert_eq!(failures.add(&1, at(100)), Err(6));
        assert_eq!(failures.add(&1, at(104)), Err(2));
        assert_eq!(failures.add(&1, at(106)), Ok(()));
        assert_eq!(failures.add(&1, at(106)), Err(6));
        assert_eq!(failures.add(&2, at(106)), Ok(()));
    }

    #[test]
    fn failures_are_forgotten_with_time_and_not_by_a_clock_set_back() {
        let mut failures = table(10);
        for _ in 0..FAILURES_MAX {
            assert_eq!(failures.add(&1, at(1000)), Ok(()));
        }

        assert!(failures.add(&1, at(10)).is_err());
        assert_eq!(failures.count(&1, at(1030)), 5);
        assert_eq!(failures.count(&1, at(2000)), 0);
    }

    #[test]
    fn what_was_no_failure_is_taken_back_and_a_success_forgets_all() {
        let mut failures = table(10);
        for _ in 0..3 {
            assert_eq!(failures.add(&1, at(100)), Ok(()));
        }

        failures.take_back(&1);
        assert_eq!(failures.count(&1, at(100)), 2);
        failures.clear(&1);
        assert_eq!(failures.count(&1, at(100)), 0);
        failures.take_back(&1);
        assert!(failures.known.is_empty() && failures.order.is_empty());
    }

    #[test]
    fn a_flood_of_names_does_not_make_it_forget_who_guesses() {
        let mut failures = table(100);
        for _ in 0..FAILURES_MAX {
            assert_eq!(failures.add(&0, at(100)), Ok(()));
        }

        for name in 1..10_000 {
            assert_eq!(failures.add(&name, at(100)), Ok(()));
        }

        assert!(failures.add(&0, at(100)).is_err());
        assert_eq!((failures.known.len(), failures.order.len()), (100, 100));
    }
}
