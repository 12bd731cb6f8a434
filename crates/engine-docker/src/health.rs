//! Watches one run of one replica: its start hook, whether it is ready, whether it lives.

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::RestartContainerOptionsBuilder;
use domain::deployment::{Probe, ProbeAction, Workload};
use jiff::Timestamp;
use tokio::time::sleep;

use super::jobs::message;
use super::replicas::Replica;
use super::tasks::AppHandle;
use super::{Inner, probe};
use domain::shell::shell;
use engine::rollout::failure_text::start_hook_failed;

/// Time that a process without a readiness check must run to count as ready: processes that cannot start mostly
/// end within it.
const STEADY: Duration = Duration::from_secs(2);
/// Pause between checks until the first success, so that a new replica serves as soon as it can.
const SERVING_PAUSE: Duration = Duration::from_millis(100);
const FIRST_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Bound of the user's start hook.
const POST_START_MAX: Duration = Duration::from_secs(300);

/// Known health of one run of a replica.
#[derive(Debug, Clone, Default)]
pub struct Health {
    pub is_ready: bool,
    /// Reason of the last failed readiness check.
    pub last_miss: Option<String>,
    /// Reason why the replica will never become ready.
    pub failure: Option<String>,
}

/// Context of a watch; it lives as long as the run that it watches.
pub struct HealthWatch {
    pub inner: Arc<Inner>,
    pub app: Arc<AppHandle>,
    pub replica: Replica,
    pub workload: Workload,
    /// It was ready when an earlier process saw it last.
    pub is_trusted: bool,
}

impl HealthWatch {
    pub async fn run(self) {
        if self.is_trusted {
            self.note(|health| health.is_ready = true);
        } else if let Some(hook) = &self.workload.hooks.post_start
            && let Err(reason) = self.post_start(hook).await
        {
            self.note(|health| health.failure = Some(reason));
            return;
        }
        tokio::join!(self.readiness(), self.liveness());
    }

    fn note(&self, change: impl FnOnce(&mut Health)) {
        self.app.note_health(&self.replica.key, change);
    }

    async fn post_start(&self, hook: &str) -> Result<(), String> {
        let run = probe::exec(&self.inner.client, &self.replica.id, shell(hook));
        match tokio::time::timeout(POST_START_MAX, run).await {
            Ok(Ok(0)) => Ok(()),
            Ok(Ok(code)) => Err(start_hook_failed(code)),
            Ok(Err(error)) => Err(format!("the postStart hook could not be run: {}", message(&error))),
            Err(_) => Err(format!("the postStart hook did not end within {} s", POST_START_MAX.as_secs())),
        }
    }

    async fn readiness(&self) {
        match &self.workload.probes.readiness {
            None => {
                sleep(STEADY.saturating_sub(self.age())).await;
                self.note(|health| health.is_ready = true);
            }
            Some(probe) => self.check_readiness(probe).await,
        }
    }

    /// The platform's own check ends with its first success: later a busy process would lose its traffic
    /// to a check that the user never asked for.
    async fn check_readiness(&self, probe: &Probe) {
        let is_serving = matches!(probe.action, ProbeAction::Serving { .. });
        let mut is_ready = self.is_trusted;
        if is_ready && is_serving {
            return;
        }
        self.initial_delay(probe).await;
        let (mut passes, mut misses) = (0, 0);
        loop {
            match probe::ask(&self.inner, &self.replica, probe).await {
                Ok(()) => (passes, misses) = (passes + 1, 0),
                Err(reason) => {
                    (passes, misses) = (0, misses + 1);
                    self.note(|health| health.last_miss = Some(reason));
                }
            }
            if !is_ready && passes >= probe.success_threshold.max(1) {
                is_ready = true;
                self.note(|health| health.is_ready = true);
            } else if is_ready && misses >= probe.failure_threshold.max(1) {
                is_ready = false;
                self.note(|health| health.is_ready = false);
            }
            if is_ready && is_serving {
                return;
            }
            sleep(pause(probe, is_ready, is_serving)).await;
        }
    }

    async fn liveness(&self) {
        let Some(probe) = &self.workload.probes.liveness else { return };
        self.initial_delay(probe).await;
        let mut misses = 0;
        // Ends with the watch: a restart makes another run, which has its own.
        loop {
            sleep(period(probe)).await;
            match probe::ask(&self.inner, &self.replica, probe).await {
                Ok(()) => misses = 0,
                Err(_) => misses += 1,
            }
            if misses >= probe.failure_threshold.max(1) {
                self.restart().await;
                misses = 0;
            }
        }
    }

    /// Out of the table first; the run that follows is another one, with a watch of its own.
    async fn restart(&self) {
        tracing::info!(pod = self.replica.name, "restarting a replica that failed its liveness check");
        self.note(|health| {
            health.is_ready = false;
            health.last_miss = Some("its liveness check failed".to_owned());
        });
        self.app.state().ends.will_be_asked_for(&self.replica.id, true);
        let grace = i32::try_from(self.replica.grace_seconds).unwrap_or(i32::MAX);
        let client = self.inner.with_timeout(self.replica.grace_seconds);
        let options = RestartContainerOptionsBuilder::default().t(grace).build();
        if let Err(error) = client.restart_container(&self.replica.id, Some(options)).await {
            tracing::warn!(pod = self.replica.name, error = message(&error), "cannot restart a replica");
            self.app.state().ends.will_be_asked_for(&self.replica.id, false);
        }
        self.app.wake();
    }

    async fn initial_delay(&self, probe: &Probe) {
        sleep(Duration::from_secs(probe.initial_delay_seconds.into()).saturating_sub(self.age())).await;
    }

    fn age(&self) -> Duration {
        let started = self.replica.started.unwrap_or_else(Timestamp::now);
        Duration::try_from(Timestamp::now().duration_since(started)).unwrap_or_default()
    }
}

fn pause(probe: &Probe, is_ready: bool, is_serving: bool) -> Duration {
    match (is_ready, is_serving) {
        (true, _) => period(probe),
        (false, true) => SERVING_PAUSE,
        (false, false) => period(probe).min(FIRST_PAUSE_MAX),
    }
}

fn period(probe: &Probe) -> Duration {
    Duration::from_secs(probe.period_seconds.max(1).into())
}
