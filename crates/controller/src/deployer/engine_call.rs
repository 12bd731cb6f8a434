//! Calls of the engine that outlast its absence for a while.

use std::error::Error;
use std::time::Duration;

use engine::EngineError;
use tokio::time::{Instant, sleep};

use super::rollout::Trouble;
use crate::Controller;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Repeats `call` while the engine is unreachable, as long as the settings are patient.
pub(super) async fn until_reachable<T, F>(
    controller: &Controller,
    mut call: impl FnMut() -> F,
) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let patience = Duration::from_secs(controller.settings.engine_patience_seconds.into());
    let mut gives_up = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let unreachable = match call().await {
            Err(error @ EngineError::Unreachable { .. }) => error,
            Err(refused) => return Err(Trouble::App(refused.to_string())),
            Ok(answer) => return Ok(answer),
        };
        let gives_up = *gives_up.get_or_insert_with(|| Instant::now() + patience);
        if Instant::now() >= gives_up {
            return Err(Trouble::Engine(in_words(&unreachable)));
        }
        sleep(pause.min(gives_up - Instant::now())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What failed, why, and what to do about it.
fn in_words(error: &EngineError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    format!("{words}; see that the engine runs (on one machine: systemctl start docker) and try again")
}
