//! Pauses between attempts, which double up to a bound.

use std::time::Duration;

#[derive(Debug, Clone)]
pub struct BackOff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl BackOff {
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The pause before the next attempt.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause
    }

    /// An attempt succeeded.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

/// Pauses before a rollout that could not be reconciled is tried again.
pub const RECONCILE: BackOff = BackOff::new(Duration::from_millis(250), Duration::from_secs(10));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_anew_after_a_success() {
        let mut back_off = RECONCILE;
        let told: Vec<_> = (0..8).map(|_| back_off.pause().as_millis()).collect();

        assert_eq!(told, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        back_off.reset();
        assert_eq!(back_off.pause().as_millis(), 250);
    }
}
