//! Calls of the engine that outlast its absence for a while.

use std::error::Error;
use std::time::Duration;

use engine::EngineError;
use tokio::time::{Instant, sleep};

use super::rollout::DeployError;
use crate::Controller;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Repeats `call` while the engine is unreachable, for the timeout of the settings.
pub(super) async fn until_reachable<T, F>(
    controller: &Controller,
    mut call: impl FnMut() -> F,
) -> Result<T, DeployError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let timeout = Duration::from_secs(controller.settings.engine_timeout_seconds.into());
    let mut gives_up = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let unreachable = match call().await {
            Err(error @ EngineError::Unreachable { .. }) => error,
            Err(refused) => return Err(DeployError::App(refused.to_string())),
            Ok(answer) => return Ok(answer),
        };
        let gives_up = *gives_up.get_or_insert_with(|| Instant::now() + timeout);
        if Instant::now() >= gives_up {
            return Err(DeployError::Engine(in_words(&unreachable)));
        }
        sleep(pause.min(gives_up - Instant::now())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Message with the failed call, the reason and the fix.
fn in_words(error: &EngineError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    format!("{words}; see that the engine runs (on one machine: systemctl start docker) and try again")
}
