//! Reports to the engine: the table that all workers use, and the requests under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::routing::RouterReport;
use engine::Routes;

/// The newest report of each worker; merged and sent whenever one changes.
pub(crate) struct Reports {
    workers: Mutex<Vec<Option<RouterReport>>>,
    routes: Arc<dyn Routes>,
}

impl Reports {
    pub(crate) fn new(workers: usize, routes: Arc<dyn Routes>) -> Self {
        Self { workers: Mutex::new(vec![None; workers]), routes }
    }

    /// Stores the report of one worker. It delays no request: workers call it from a timer.
    pub(crate) fn put(&self, worker: usize, table_version: u64, in_flight: BTreeMap<String, u64>) {
        let merged = {
            let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
            workers[worker] = Some(RouterReport { table_version, in_flight });
            merge(&workers)
        };
        if let Some(report) = merged {
            self.routes.report(report);
        }
    }
}

/// One report for all workers; none before each has spoken once.
fn merge(workers: &[Option<RouterReport>]) -> Option<RouterReport> {
    let mut merged = RouterReport { table_version: u64::MAX, in_flight: BTreeMap::new() };
    for report in workers {
        let RouterReport { table_version, in_flight } = report.as_ref()?;
        merged.table_version = merged.table_version.min(*table_version);
        for (key, count) in in_flight {
            *merged.in_flight.entry(key.clone()).or_insert(0) += count;
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(table_version: u64, in_flight: &[(&str, u64)]) -> Option<RouterReport> {
        let in_flight = in_flight.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect();
        Some(RouterReport { table_version, in_flight })
    }

    #[test]
    fn a_table_counts_as_taken_over_when_the_slowest_worker_has_it() {
        assert_eq!(merge(&[report(2, &[("a", 1)]), None]), None);
        assert_eq!(
            merge(&[report(2, &[("a", 1)]), report(3, &[("a", 2), ("b", 1)])]),
            report(2, &[("a", 3), ("b", 1)])
        );
    }
}
