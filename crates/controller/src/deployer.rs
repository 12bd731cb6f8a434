//! The deployer: brings each app to its newest deploy and keeps it there.
//!
//! It does not depend on events: a pass reads from the store which apps have work and gives each one worker. After
//! a kill the next start continues in the ordinary way. Images of releases stay, as any release can be rolled back
//! to; they are removed with the app.

mod converge;
mod engine_call;
mod leading;
mod rollout;
mod routing;
mod settle;
mod waiting;

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;
use std::time::Duration;

use domain::AppName;
use store::StoreError;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

pub use leading::run_while_leading;
pub(crate) use rollout::plan_settings;
pub use routing::RoutingError;
pub use waiting::DeployOutcome;

use crate::Controller;
use rollout::DeployError;

/// Apps that are worked on at the same time; workers mostly wait.
const WORKERS_MAX: usize = 64;
/// First and longest pause before failed apps are tried again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// Runs until `shutdown`. The next start continues deploys under way.
pub async fn run(controller: Controller, shutdown: impl Future<Output = ()>) {
    let mut deployer = Deployer::new(controller);
    tokio::pin!(shutdown);
    loop {
        deployer.pass().await;
        tokio::select! {
            () = &mut shutdown => return,
            () = deployer.something_happens() => {}
        }
    }
}

/// Workers and what they have to do.
pub struct Deployer {
    controller: Controller,
    workers: JoinSet<Result<(), DeployError>>,
    busy: HashMap<Id, AppName>,
    /// Apps whose state at the engine has not been checked yet.
    unsettled: BTreeSet<AppName>,
    /// Apps whose worker failed; they rest until the next retry.
    resting: BTreeSet<AppName>,
    is_first_pass: bool,
    retry_pause: Duration,
    /// Bumped by each wake-up, so that workers look for newer deploys.
    ticks: watch::Sender<u64>,
}

impl Deployer {
    pub fn new(controller: Controller) -> Self {
        Self {
            controller,
            workers: JoinSet::new(),
            busy: HashMap::new(),
            unsettled: BTreeSet::new(),
            resting: BTreeSet::new(),
            is_first_pass: true,
            retry_pause: RETRY_FIRST,
            ticks: watch::Sender::new(0),
        }
    }

    /// Gives each app that has work a worker, unless it has one.
    pub async fn pass(&mut self) {
        match self.due().await {
            Ok(due) => due.into_iter().for_each(|app| self.start(app)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "deployer can not read its work");
            }
        }
    }

    /// Apps to be worked on now. On the first pass that is every app: what the engine runs may be older
    /// than what was recorded.
    async fn due(&mut self) -> Result<Vec<AppName>, StoreError> {
        if self.is_first_pass {
            self.unsettled.extend(self.controller.store.app_names().await?);
            self.is_first_pass = false;
        }
        let told =
            std::mem::take(&mut *self.controller.unsettled.lock().unwrap_or_else(PoisonError::into_inner));
        self.unsettled.extend(told);
        let mut due: BTreeSet<_> = self.controller.store.apps_with_work().await?.into_iter().collect();
        due.extend(self.unsettled.iter().cloned());
        let busy: BTreeSet<_> = self.busy.values().collect();
        due.retain(|app| !busy.contains(app) && !self.resting.contains(app));
        Ok(due.into_iter().take(WORKERS_MAX.saturating_sub(busy.len())).collect())
    }

    fn start(&mut self, app: AppName) {
        let is_settled = !self.unsettled.remove(&app);
        let (controller, ticks, name) = (self.controller.clone(), self.ticks.subscribe(), app.clone());
        let work = async move { converge::converge(&controller, &name, is_settled, ticks).await };
        let worker = self.workers.spawn(work).id();
        self.busy.insert(worker, app);
    }

    /// Waits for a reason to make another pass.
    async fn something_happens(&mut self) {
        let pass_every = self.controller.settings.poll_interval;
        let pause = if self.resting.is_empty() { pass_every } else { self.retry_pause };
        tokio::select! {
            () = self.controller.wake.notified() => self.ticks.send_modify(|count| *count += 1),
            Some(ended) = self.workers.join_next_with_id() => self.ended(ended),
            () = tokio::time::sleep(pause) => self.retry(),
        }
    }

    fn retry(&mut self) {
        if self.resting.is_empty() {
            return;
        }
        self.retry_pause = (self.retry_pause * 2).min(RETRY_LONGEST);
        self.unsettled.append(&mut self.resting);
    }

    fn ended(&mut self, ended: Result<(Id, Result<(), DeployError>), JoinError>) {
        let (worker, reason) = match ended {
            Ok((worker, Ok(()))) => (worker, None),
            Ok((worker, Err(error))) => (worker, Some(error.to_string())),
            Err(panic) => (panic.id(), Some(panic.to_string())),
        };
        let Some(app) = self.busy.remove(&worker) else { return };
        match reason {
            None => self.retry_pause = RETRY_FIRST,
            Some(reason) => {
                tracing::warn!(%app, reason, "app is not as wanted yet, will try again");
                self.resting.insert(app);
            }
        }
    }
}
