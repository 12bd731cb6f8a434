//! Docker's events: they wake the tasks of apps, tell how runs ended, and show the logs new containers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use domain::AppName;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tokio::time::sleep;

use super::jobs::message;
use super::{Inner, names};

/// Pause before listening again after the daemon went away.
const PAUSE: Duration = Duration::from_millis(500);
/// Events older than the end of the last stream that are asked for again; hearing one twice does no harm.
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
        hear(&inner, since - OVERLAP_SECONDS).await;
        since = began;
        sleep(PAUSE).await;
        while inner.client.ping().await.is_err() {
            sleep(PAUSE).await;
        }
        // The daemon may have started again, with everything changed.
        inner.apps().values().for_each(|app| app.wake());
    }
}

async fn hear(inner: &Inner, since: i64) {
    let filters = HashMap::from([
        ("type", vec!["container".to_owned()]),
        ("label", vec![format!("{}={}", names::INSTANCE_LABEL, inner.settings.instance)]),
    ]);
    let options = EventsOptionsBuilder::default().since(&since.to_string()).filters(&filters).build();
    // Its answer begins with the first event, which may be long in coming.
    let client = inner.patient(3600);
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
    // Probes and hooks are commands of ours; jobs are watched by those who run them.
    if action.starts_with("exec_") || !attributes.contains_key(names::PROCESS_LABEL) {
        return;
    }
    let Some(name) = attributes.get(names::APP_LABEL).and_then(|app| AppName::parse(app).ok()) else {
        return;
    };
    let app = inner.apps().get(&name).cloned();
    if let Some(app) = app {
        note_exit(&mut app.state().exits, &id, &action, attributes.get("exitCode"));
        app.wake();
    }
    // Nobody following the logs is no fault.
    let _ = inner.events.send(ContainerEvent { id, action });
}

fn note_exit(
    exits: &mut std::collections::BTreeMap<String, crate::failure_text::Exit>,
    id: &str,
    action: &str,
    code: Option<&String>,
) {
    match action {
        "oom" => exits.entry(id.to_owned()).or_default().is_out_of_memory = true,
        "die" => {
            let code = code.and_then(|code| code.parse().ok()).unwrap_or(-1);
            exits.entry(id.to_owned()).or_default().code = code;
        }
        _ => {}
    }
}
