//! The least rate at which a client must send. Only time in which the router waits for the client counts, not the
//! time in which an app or a disk takes the data.

use std::time::Duration;

use tokio::time::Instant;

/// A least rate, which holds on average once a first while has passed.
#[derive(Debug, Clone, Copy)]
pub struct LeastRate {
    pub bytes_per_second: u64,
    /// Time before the rate counts.
    pub grace: Duration,
}

/// Progress of one sender.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: LeastRate,
    bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl LeastRate {
    /// Longest time for so many bytes.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        let rate = self.bytes_per_second.max(1);
        let millis = bytes.saturating_mul(1_000) / rate;
        self.grace.saturating_add(Duration::from_millis(millis))
    }
}

impl Pace {
    pub(crate) fn new(rate: LeastRate) -> Self {
        Self { rate, bytes: 0, waited: Duration::ZERO, waiting_since: None }
    }

    /// Remaining time to wait for the other side, after the time already counted.
    pub(crate) fn left(&self) -> Duration {
        self.rate.time_for(self.bytes).saturating_sub(self.waited)
    }

    /// So many bytes have gone, for which so long was waited.
    pub(crate) fn went(&mut self, bytes: u64, waited: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
    }

    /// So many bytes have come.
    pub(crate) fn came(&mut self, bytes: u64, now: Instant) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(since) = self.waiting_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    /// Nothing is there: when it is too slow if nothing comes.
    pub(crate) fn waits_until(&mut self, now: Instant) -> Instant {
        let since = *self.waiting_since.get_or_insert(now);
        let left = self.left();
        // Beyond what clocks reach nobody waits.
        since.checked_add(left).unwrap_or_else(|| now + Duration::from_secs(86_400))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_as_fast_as_asked_has_time_and_who_does_not_has_the_grace_alone() {
        let rate = LeastRate { bytes_per_second: 1_000, grace: Duration::from_secs(10) };
        let mut pace = Pace::new(rate);
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);

        assert_eq!(pace.waits_until(at(0)), at(10));
        pace.came(5_000, at(5));
        // An app takes the data for a minute, which does not count.
        assert_eq!(pace.waits_until(at(65)), at(75));
        pace.came(0, at(66));
        assert_eq!(pace.waits_until(at(66)), at(75));
    }
}
