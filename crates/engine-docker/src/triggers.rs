//! Docker's events: they wake the tasks of apps, report exits, and announce new containers to the logs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use domain::AppName;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::time::sleep;

use super::crashes::ContainerEnds;
use super::jobs::message;
use super::{Inner, names};

/// Pause before listening again after the daemon went away.
const PAUSE: Duration = Duration::from_millis(500);
/// Seconds before the end of the last stream that are requested again; repeated events do no harm.
const OVERLAP_SECONDS: i64 = 2;

/// Something happened to the container of a process.
#[derive(Debug, Clone)]
pub struct ContainerEvent {
    pub id: String,
    pub action: String,
}

/// Listens for as long as the engine lives.
pub async fn listen(inner: Arc<Inner>) {
    let mut since = Timestamp::now().as_second();
    loop {
        let began = Timestamp::now().as_second();
        watch(&inner, since - OVERLAP_SECONDS).await;
        since = began;
        sleep(PAUSE).await;
        while inner.client.ping().await.is_err() {
            sleep(PAUSE).await;
        }
        // The daemon may have started again, with everything changed.
        inner.apps().values().for_each(|app| app.wake());
    }
}

async fn watch(inner: &Inner, since: i64) {
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("label", vec![format!("{}={}", names::INSTANCE_LABEL, inner.settings.instance)]),
    ]);
    let options = EventsOptionsBuilder::default().since(&since.to_string()).filters(&filters).build();
    // Its answer begins with the first event, which may be long in coming.
    let client = inner.with_timeout(3600);
    let mut events = std::pin::pin!(client.events(Some(options)));
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => take(inner, event),
            Err(error) => {
                tracing::debug!(error = message(&error), "Docker's events ended");
                return;
            }
        }
    }
}

fn take(inner: &Inner, event: EventMessage) {
    let Some(actor) = event.actor else { return };
    let (Some(id), Some(action)) = (actor.id, event.action) else { return };
    let attributes = actor.attributes.unwrap_or_default();
    // Probes and hooks are commands of ours; the tasks of jobs watch their own containers.
    if action.starts_with("exec_") || !attributes.contains_key(names::PROCESS_LABEL) {
        return;
    }
    let Some(name) = attributes.get(names::APP_LABEL).and_then(|app| AppName::parse(app).ok()) else {
        return;
    };
    let app = inner.apps().get(&name).cloned();
    if let Some(app) = app {
        note_end(&mut app.state().ends, &id, &action, attributes.get("exitCode"), event.time_nano);
        app.wake();
    }
    // Nobody following the logs is no fault.
    let _ = inner.events.send(ContainerEvent { id, action });
}

fn note_end(ends: &mut ContainerEnds, id: &str, action: &str, code: Option<&String>, time: Option<i64>) {
    let time =
        time.and_then(|time| Timestamp::from_nanosecond(time.into()).ok()).unwrap_or_else(Timestamp::now);
    match action {
        "oom" => ends.out_of_memory(id, time),
        "die" => ends.ended(id, code.and_then(|code| code.parse().ok()).unwrap_or(-1), time),
        _ => {}
    }
}
