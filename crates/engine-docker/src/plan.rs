//! Decides the next step for one process type: pure, from desired and observed state.
//!
//! New replicas start first, a batch at a time. Old ones are retired only when no new one is still starting, and
//! never so many that fewer than wanted are left; so a release that fails leaves its predecessor complete.

use engine::rollout::judge::ObservedReplica;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaPlan {
    /// Number of replicas to create.
    pub create: usize,
    /// Replicas to take out of the table, drain and stop.
    pub retire: Vec<String>,
}

/// Plans the next step; `replicas` come oldest first, and `batch` of them may be starting at the same time. An
/// empty plan means agreement, or that replicas are still starting.
pub fn plan(wanted: usize, batch: usize, replicas: &[ObservedReplica]) -> ReplicaPlan {
    let staying = replicas.iter().filter(|replica| replica.stays());
    let (current, old): (Vec<_>, Vec<_>) = staying.partition(|replica| replica.is_wanted());
    let ready = current.iter().filter(|replica| replica.is_ready).count();
    let starting = current.len() - ready;
    let missing = wanted.saturating_sub(current.len());
    let create = missing.min(batch.max(1).saturating_sub(starting));
    let mut retire = least_useful(&current, current.len().saturating_sub(wanted));
    if wanted == 0 || starting == 0 {
        // Also right while batches are still to come: those that are ready already take over.
        let keep = wanted.saturating_sub(ready);
        retire.extend(least_useful(&old, old.len().saturating_sub(keep)));
    }
    ReplicaPlan { create, retire }
}

/// Those that serve nothing go first, then the youngest.
fn least_useful(replicas: &[&ObservedReplica], count: usize) -> Vec<String> {
    let mut sorted: Vec<_> = replicas.iter().rev().collect();
    sorted.sort_by_key(|replica| replica.is_ready);
    sorted.into_iter().take(count).map(|replica| replica.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use domain::crashes::Exit;
    use engine::rollout::judge::Stage;

    use super::*;

    /// `o` old, `n` new; upper case is ready.
    fn replicas(text: &str) -> Vec<ObservedReplica> {
        let replica = |(number, letter): (usize, char)| ObservedReplica {
            id: format!("{letter}{number}"),
            is_current: letter.eq_ignore_ascii_case(&'n'),
            is_condemned: false,
            is_leaving: false,
            is_ready: letter.is_ascii_uppercase(),
            crashes: 0,
            last_exit: Exit::default(),
            stage: Stage::Running,
        };
        text.chars().enumerate().map(replica).collect()
    }

    fn planned(wanted: usize, text: &str) -> (usize, Vec<String>) {
        planned_in_batches(wanted, 4, text)
    }

    fn planned_in_batches(wanted: usize, batch: usize, text: &str) -> (usize, Vec<String>) {
        let ReplicaPlan { create, retire } = plan(wanted, batch, &replicas(text));
        (create, retire)
    }

    #[test]
    fn a_new_replica_is_ready_before_an_old_one_goes() {
        assert_eq!(planned(1, "O"), (1, vec![]));
        assert_eq!(planned(1, "On"), (0, vec![]));
        assert_eq!(planned(1, "ON"), (0, vec!["O0".to_owned()]));
        assert_eq!(planned(1, "N"), (0, vec![]));
    }

    #[test]
    fn old_replicas_stay_whole_while_any_of_a_batch_is_starting() {
        assert_eq!(planned(3, "OOONNn"), (0, vec![]));
        assert_eq!(planned(3, "OOONNN").1.len(), 3);
    }

    #[test]
    fn many_replicas_are_replaced_in_batches() {
        assert_eq!(planned(6, "OOOOOO"), (4, vec![]));
        assert_eq!(planned(6, "OOOOOONNNN"), (2, ["O5", "O4", "O3", "O2"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_batch_is_as_large_as_the_app_says() {
        assert_eq!(planned_in_batches(6, 1, "OOOOOO"), (1, vec![]));
        assert_eq!(planned_in_batches(6, 1, "OOOOOOn"), (0, vec![]));
        assert_eq!(planned_in_batches(6, 1, "OOOOOON"), (1, vec!["O5".to_owned()]));
        assert_eq!(planned_in_batches(6, 10, "OOOOOO"), (6, vec![]));
    }

    #[test]
    fn scaling_replaces_nothing_and_spares_what_is_ready() {
        assert_eq!(planned(3, "N"), (2, vec![]));
        assert_eq!(planned(1, "nNN"), (0, vec!["n0".to_owned(), "N2".to_owned()]));
        assert_eq!(planned(0, "NO"), (0, vec!["N0".to_owned(), "O1".to_owned()]));
    }
}
