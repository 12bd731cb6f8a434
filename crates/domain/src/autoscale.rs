//! Number of replicas for a load: the rule of Kubernetes' HorizontalPodAutoscaler, for engines that have none
//! (<https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>).

use std::collections::VecDeque;

/// Loads this near to the target, in percent of it, change nothing.
const TOLERANCE_PERCENT: u64 = 10;
/// A step up at most doubles the replicas, or adds this many if that is more.
const STEP_UP: u32 = 4;
/// Seconds for which a lower number must have been enough before replicas are removed.
pub const SETTLED_SECONDS: u64 = 300;

/// The bounds and the target of an autoscale rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoscaleBounds {
    pub min: u32,
    pub max: u32,
    /// Percent of the CPU request that replicas should use on average.
    pub cpu_percent: u32,
}

/// A measurement: ready replicas, and percent of their CPU request that they use on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredLoad {
    pub replicas: u32,
    pub used_percent: u32,
}

impl AutoscaleBounds {
    /// The number within the rule that is nearest.
    pub fn clamp(self, replicas: u32) -> u32 {
        replicas.min(self.max).max(self.min)
    }

    /// Number of replicas for this load alone.
    fn asked_for(self, load: MeasuredLoad) -> u32 {
        let MeasuredLoad { replicas, used_percent } = load;
        let (used, target) = (u64::from(used_percent), u64::from(self.cpu_percent.max(1)));
        if used.abs_diff(target) * 100 <= target * TOLERANCE_PERCENT {
            return self.clamp(replicas);
        }
        let wanted = (u64::from(replicas) * used).div_ceil(target);
        let step_max = (replicas * 2).max(replicas + STEP_UP);
        self.clamp(u32::try_from(wanted).unwrap_or(u32::MAX).min(step_max))
    }
}

/// Numbers computed in the last minutes.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Second of the measurement, and the number computed from it.
    asked_for: VecDeque<(u64, u32)>,
}

impl History {
    /// Number of replicas from now on. It rises at once, and falls only to a number that was enough during the
    /// whole period.
    pub fn next(&mut self, rule: AutoscaleBounds, load: MeasuredLoad, now_seconds: u64) -> u32 {
        let settled_since = now_seconds.saturating_sub(SETTLED_SECONDS);
        self.asked_for.retain(|(at, _)| *at >= settled_since);
        self.asked_for.push_back((now_seconds, rule.asked_for(load)));
        let most = self.asked_for.iter().map(|(_, replicas)| *replicas).max().unwrap_or(rule.min);
        let newest = self.asked_for.back().map_or(rule.min, |(_, replicas)| *replicas);
        // Earlier numbers keep replicas and add none.
        rule.clamp(newest.max(most.min(load.replicas)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: AutoscaleBounds = AutoscaleBounds { min: 1, max: 8, cpu_percent: 50 };

    fn asked_for(replicas: u32, used_percent: u32) -> u32 {
        RULE.asked_for(MeasuredLoad { replicas, used_percent })
    }

    #[test]
    fn replicas_follow_the_load_within_the_rule() {
        assert_eq!(asked_for(2, 100), 4);
        assert_eq!(asked_for(3, 60), 4);
        assert_eq!(asked_for(4, 10), 1);
        assert_eq!(asked_for(8, 400), 8);
        assert_eq!(asked_for(2, 0), 1);
    }

    #[test]
    fn a_load_near_the_target_changes_nothing() {
        assert_eq!(asked_for(4, 46), 4);
        assert_eq!(asked_for(4, 55), 4);
    }

    #[test]
    fn one_step_up_is_bounded() {
        let wide = AutoscaleBounds { max: 100, ..RULE };

        assert_eq!(wide.asked_for(MeasuredLoad { replicas: 1, used_percent: 5_000 }), 5);
        assert_eq!(wide.asked_for(MeasuredLoad { replicas: 10, used_percent: 5_000 }), 20);
    }

    #[test]
    fn replicas_come_at_once_and_go_when_fewer_were_enough_for_five_minutes() {
        let mut history = History::default();
        let mut next =
            |replicas, used_percent, at| history.next(RULE, MeasuredLoad { replicas, used_percent }, at);

        assert_eq!(next(2, 100, 1_000), 4);
        assert_eq!(next(4, 10, 1_015), 4);
        assert_eq!(next(4, 10, 1_299), 4);
        assert_eq!(next(4, 10, 1_301), 1);
    }

    #[test]
    fn a_lower_maximum_takes_replicas_at_once() {
        let mut history = History::default();
        history.next(RULE, MeasuredLoad { replicas: 6, used_percent: 50 }, 1_000);

        let lower = AutoscaleBounds { max: 2, ..RULE };
        assert_eq!(history.next(lower, MeasuredLoad { replicas: 6, used_percent: 50 }, 1_001), 2);
    }
}
