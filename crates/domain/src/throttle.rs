//! Throttling: how many failures in a row are taken before the next attempt has to wait.

use jiff::Timestamp;

/// Failures that are taken at once.
pub const FAILURES_MAX: u32 = 10;
/// Seconds after which one failure is forgotten.
pub const FORGET_SECONDS: u32 = 6;

/// Failures of one kind, such as logins of one user from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    count: u32,
    /// When `count` was right.
    at: Timestamp,
}

impl Failures {
    /// None so far.
    pub fn none(now: Timestamp) -> Self {
        Self { count: 0, at: now }
    }

    /// Counts one more, or says after how many seconds it may be tried.
    pub fn add(&mut self, now: Timestamp) -> Result<(), u32> {
        self.forget(now);
        if self.count >= FAILURES_MAX {
            let waited = now.as_second().saturating_sub(self.at.as_second());
            let waited = u32::try_from(waited).unwrap_or(0).min(FORGET_SECONDS - 1);
            return Err(FORGET_SECONDS - waited);
        }
        self.count += 1;
        Ok(())
    }

    /// Whether there is nothing left to remember.
    pub fn is_forgotten(&mut self, now: Timestamp) -> bool {
        self.forget(now);
        self.count == 0
    }

    /// A clock that was set back forgets nothing.
    fn forget(&mut self, now: Timestamp) {
        let passed = now.as_second().saturating_sub(self.at.as_second());
        let forgotten = u32::try_from(passed / i64::from(FORGET_SECONDS)).unwrap_or(if passed < 0 {
            0
        } else {
            u32::MAX
        });
        if forgotten > 0 {
            self.count = self.count.saturating_sub(forgotten);
            self.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a moment")
    }

    #[test]
    fn after_ten_failures_each_further_attempt_waits_its_turn() {
        let mut failures = Failures::none(at(100));
        for _ in 0..FAILURES_MAX {
            assert_eq!(failures.add(at(100)), Ok(()));
        }

        assert_eq!(failures.add(at(100)), Err(6));
        assert_eq!(failures.add(at(104)), Err(2));
        assert_eq!(failures.add(at(106)), Ok(()));
        assert_eq!(failures.add(at(106)), Err(6));
    }

    #[test]
    fn failures_are_forgotten_with_time_and_not_by_a_clock_set_back() {
        let mut failures = Failures::none(at(1000));
        for _ in 0..FAILURES_MAX {
            assert_eq!(failures.add(at(1000)), Ok(()));
        }

        assert!(failures.add(at(10)).is_err());
        assert!(!failures.is_forgotten(at(1030)));
        assert!(failures.is_forgotten(at(2000)));
    }
}
