//! Networks of removed apps that Docker did not remove, such as those it considers in use (`has active
//! endpoints`): retried at growing intervals, and logged once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::ListNetworksOptionsBuilder;
use domain::AppName;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::jobs::message;
use super::{Inner, names, network};
use engine::EngineError;

const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);
/// Interval at which Docker is asked for networks of unknown apps, which a crash may leave.
const LIST_EVERY: Duration = Duration::from_secs(10 * 60);

/// Networks to remove, by app.
#[derive(Default)]
pub struct Orphans {
    known: Mutex<BTreeMap<AppName, Orphan>>,
    changed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Orphan {
    /// When it is tried next.
    at: Instant,
    pause: Duration,
    is_told: bool,
}

impl Orphans {
    /// Takes over the network of an app that could not be removed for this reason.
    pub fn add(&self, app: &AppName, reason: &EngineError) {
        warn(app, reason);
        let orphan = Orphan { at: Instant::now() + PAUSE_MIN, pause: PAUSE_MIN, is_told: true };
        self.known().insert(app.clone(), orphan);
        self.changed.notify_one();
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<AppName, Orphan>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Apps whose networks are due, and when the next one will be.
    fn due(&self, now: Instant) -> (Vec<AppName>, Option<Instant>) {
        let known = self.known();
        let due = known.iter().filter(|(_, orphan)| orphan.at <= now).map(|(app, _)| app.clone());
        (due.collect(), known.values().map(|orphan| orphan.at).filter(|at| *at > now).min())
    }

    /// Lengthens the wait; returns true if it was not logged yet.
    fn failed(&self, app: &AppName, now: Instant) -> bool {
        let mut known = self.known();
        let Some(orphan) = known.get_mut(app) else { return false };
        orphan.pause = (orphan.pause * 2).min(PAUSE_MAX);
        orphan.at = now + orphan.pause;
        !std::mem::replace(&mut orphan.is_told, true)
    }
}

/// Removes orphans until the engine ends.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut list_at = Instant::now() + PAUSE_MIN;
    loop {
        let now = Instant::now();
        if now >= list_at {
            list_at = now + LIST_EVERY;
            if let Err(error) = find(&inner, now).await {
                tracing::debug!(error = message(&error), "cannot list networks");
            }
        }
        let (due, next) = inner.orphans.due(now);
        for app in due {
            remove(&inner, &app).await;
        }
        tokio::select! {
            () = sleep_until(next.unwrap_or(list_at).min(list_at)) => {}
            () = inner.orphans.changed.notified() => {}
        }
    }
}

/// Lists networks of apps that the engine does not know. They are removed after a pause: the app may be being
/// created.
async fn find(inner: &Inner, now: Instant) -> Result<(), Error> {
    let filters = HashMap::from([(
        "label",
        vec![format!("{}={}", names::INSTANCE_LABEL, inner.settings.instance), names::APP_LABEL.to_owned()],
    )]);
    let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
    let networks = inner.client.list_networks(Some(options)).await?;
    let apps = networks
        .into_iter()
        .filter_map(|network| AppName::parse(network.labels?.get(names::APP_LABEL)?).ok());
    let mut known = inner.orphans.known();
    for app in apps.filter(|app| !inner.apps().contains_key(app)) {
        known.entry(app).or_insert(Orphan {
            at: now + LIST_EVERY / 2,
            pause: LIST_EVERY / 2,
            is_told: false,
        });
    }
    Ok(())
}

async fn remove(inner: &Inner, app: &AppName) {
    match network::remove_unless_wanted(inner, app).await {
        Ok(()) => {
            inner.orphans.known().remove(app);
        }
        Err(error) if inner.orphans.failed(app, Instant::now()) => warn(app, &error),
        Err(error) => {
            tracing::debug!(%app, error = &error as &dyn std::error::Error, "a network still stays");
        }
    }
}

fn warn(app: &AppName, error: &EngineError) {
    tracing::warn!(
        %app,
        error = error as &dyn std::error::Error,
        "Docker does not let the removed app's network go; it is tried again at growing pauses"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orphan_is_tried_at_growing_pauses_up_to_an_hour_and_told_once() {
        let orphans = Orphans::default();
        let app = AppName::parse("blog").expect("a good name");
        let start = Instant::now();
        orphans.known().insert(app.clone(), Orphan { at: start, pause: PAUSE_MIN, is_told: false });

        let told: Vec<_> = (0..20).map(|_| orphans.failed(&app, start)).collect();

        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(told[0]);
        let (due, next) = orphans.due(start + PAUSE_MAX - Duration::from_secs(1));
        assert_eq!((due.len(), next), (0, Some(start + PAUSE_MAX)));
        assert_eq!(orphans.due(start + PAUSE_MAX).0, [app]);
    }
}
