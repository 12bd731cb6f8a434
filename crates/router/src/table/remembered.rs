//! Routes of an engine that are remembered over the death of the process: until the engine answers, the last table
//! that an earlier process kept on disk is served.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::routing::{RouteTable, RouterReport};
use engine::Routes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::table::last_table::LastTable;

/// Longest wait for the engine's first table before the last one is served instead.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Shortest pause between two writes of the table: what changes meanwhile is written together.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// The pause is at least so many times as long as the write before: a large table is written less often.
const PAUSE_TO_WRITE: u32 = 50;

/// Routes for the router in place of the engine's.
pub struct RememberedRoutes {
    tables: watch::Sender<Arc<RouteTable>>,
    engine: OnceLock<Arc<dyn Routes>>,
    last: Option<LastTable>,
}

impl Routes for RememberedRoutes {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.tables.subscribe()
    }

    fn report(&self, report: RouterReport) {
        if let Some(engine) = self.engine.get() {
            engine.report(report);
        }
    }
}

impl RememberedRoutes {
    /// Without `last` nothing is kept, and nothing is served before the engine answers.
    pub fn new(last: Option<LastTable>) -> Arc<Self> {
        Arc::new(Self { tables: watch::Sender::default(), engine: OnceLock::new(), last })
    }

    /// Serves the last table, unless the engine has sent one; returns true if there is something to serve.
    pub fn recall(&self) -> bool {
        if self.is_serving() {
            return true;
        }
        match self.last.as_ref().map(LastTable::load) {
            None | Some(Ok(None)) => return false,
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the last routes cannot be served");
                return false;
            }
            Some(Ok(Some(table))) => {
                let routes = table.routes.len();
                tracing::warn!(routes, "the engine does not answer: serving the last routes that were known");
                self.tables.send_if_modified(|now| {
                    let is_first = now.version == 0;
                    if is_first {
                        *now = Arc::new(table);
                    }
                    is_first
                });
            }
        }
        true
    }

    /// There are routes, the engine's or the last ones.
    pub fn is_serving(&self) -> bool {
        let table = self.tables.borrow();
        table.version > 0 || !table.routes.is_empty()
    }

    /// Forwards the engine's tables and stores them on disk, until the engine or the process ends.
    pub async fn follow(self: Arc<Self>, engine: Arc<dyn Routes>, mut stopping: watch::Receiver<bool>) {
        let tables = engine.watch();
        self.engine.get_or_init(|| engine);
        let kept = self.keep(stopping.clone());
        let passed_on = async {
            tokio::select! {
                () = self.pass_on(tables) => {}
                // A closed channel means that the sender of the stop signal is gone.
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        };
        tokio::join!(kept, passed_on);
    }

    async fn pass_on(&self, mut tables: watch::Receiver<Arc<RouteTable>>) {
        if timeout(TIMEOUT, tables.wait_for(|table| table.version > 0)).await.is_err() {
            self.recall();
        }
        while tables.wait_for(|table| table.version > 0).await.is_ok() {
            self.tables.send_replace(Arc::clone(&tables.borrow_and_update()));
            if tables.changed().await.is_err() {
                return;
            }
        }
    }

    /// Writes each new table; of those that follow closely, the last.
    async fn keep(&self, mut stopping: watch::Receiver<bool>) {
        let Some(last) = &self.last else { return };
        let mut tables = self.tables.subscribe();
        let mut is_failing = false;
        loop {
            let is_over = tokio::select! {
                changed = tables.changed() => changed.is_err(),
                _ = stopping.wait_for(|stop| *stop) => true,
            };
            let begun = Instant::now();
            if tables.has_changed().unwrap_or(false) || !is_over {
                let table = Arc::clone(&tables.borrow_and_update());
                is_failing = store(last, table, is_failing).await;
            }
            if is_over {
                return;
            }
            tokio::select! {
                () = sleep(WRITE_EVERY.max(begun.elapsed() * PAUSE_TO_WRITE)) => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        }
    }
}

/// Writes where a disk holds up nobody; says once that it fails.
async fn store(last: &LastTable, table: Arc<RouteTable>, was_failing: bool) -> bool {
    if table.version == 0 {
        // It comes from there.
        return was_failing;
    }
    let last = last.clone();
    let stored = tokio::task::spawn_blocking(move || last.store(&table)).await;
    match stored.unwrap_or(Ok(())) {
        Ok(()) => false,
        Err(error) => {
            if !was_failing {
                tracing::warn!(error = &error as &dyn std::error::Error, "the last routes are not kept");
            }
            true
        }
    }
}
