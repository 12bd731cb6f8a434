//! How many replicas the load asks for: the rule of Kubernetes' HorizontalPodAutoscaler, for engines that have
//! none (<https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>).

use std::collections::VecDeque;

/// Loads this near to the target, in percent of it, change nothing.
const TOLERANCE_PERCENT: u64 = 10;
/// A step up at most doubles the replicas, or adds this many if that is more.
const STEP_UP: u32 = 4;
/// How long a lower number must have been enough before replicas go.
pub const SETTLED_SECONDS: u64 = 300;

/// What the operator asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub min: u32,
    pub max: u32,
    /// Percent of the CPU request that replicas should use on average.
    pub cpu_percent: u32,
}

/// What was measured: replicas that are ready, and percent of their CPU request that they use on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub replicas: u32,
    pub used_percent: u32,
}

impl Rule {
    /// The number within the rule that is nearest.
    pub fn clamp(self, replicas: u32) -> u32 {
        replicas.min(self.max).max(self.min)
    }

    /// What the load alone asks for.
    fn asked_for(self, load: Load) -> u32 {
        let Load { replicas, used_percent } = load;
        let (used, target) = (u64::from(used_percent), u64::from(self.cpu_percent.max(1)));
        if used.abs_diff(target) * 100 <= target * TOLERANCE_PERCENT {
            return self.clamp(replicas);
        }
        let wanted = (u64::from(replicas) * used).div_ceil(target);
        let step_max = (replicas * 2).max(replicas + STEP_UP);
        self.clamp(u32::try_from(wanted).unwrap_or(u32::MAX).min(step_max))
    }
}

/// What was asked for in the last minutes.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Second of the measurement, and what it asked for.
    asked_for: VecDeque<(u64, u32)>,
}

impl History {
    /// How many replicas should run from now on: up at once, down only to what has been enough all the time.
    pub fn next(&mut self, rule: Rule, load: Load, now_seconds: u64) -> u32 {
        let settled_since = now_seconds.saturating_sub(SETTLED_SECONDS);
        self.asked_for.retain(|(at, _)| *at >= settled_since);
        self.asked_for.push_back((now_seconds, rule.asked_for(load)));
        let most = self.asked_for.iter().map(|(_, replicas)| *replicas).max().unwrap_or(rule.min);
        let newest = self.asked_for.back().map_or(rule.min, |(_, replicas)| *replicas);
        // What was asked for in the past keeps replicas, but makes no new ones.
        rule.clamp(newest.max(most.min(load.replicas)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { min: 1, max: 8, cpu_percent: 50 };

    fn asked_for(replicas: u32, used_percent: u32) -> u32 {
        RULE.asked_for(Load { replicas, used_percent })
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
        let wide = Rule { max: 100, ..RULE };

        assert_eq!(wide.asked_for(Load { replicas: 1, used_percent: 5_000 }), 5);
        assert_eq!(wide.asked_for(Load { replicas: 10, used_percent: 5_000 }), 20);
    }

    #[test]
    fn replicas_come_at_once_and_go_when_fewer_were_enough_for_five_minutes() {
        let mut history = History::default();
        let mut next = |replicas, used_percent, at| history.next(RULE, Load { replicas, used_percent }, at);

        assert_eq!(next(2, 100, 1_000), 4);
        assert_eq!(next(4, 10, 1_015), 4);
        assert_eq!(next(4, 10, 1_299), 4);
        assert_eq!(next(4, 10, 1_301), 1);
    }

    #[test]
    fn a_lower_maximum_takes_replicas_at_once() {
        let mut history = History::default();
        history.next(RULE, Load { replicas: 6, used_percent: 50 }, 1_000);

        let lower = Rule { max: 2, ..RULE };
        assert_eq!(history.next(lower, Load { replicas: 6, used_percent: 50 }, 1_001), 2);
    }
}
