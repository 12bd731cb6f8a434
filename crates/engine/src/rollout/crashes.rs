//! Crashes for the reader that logs them: bounded, so that a slow reader loses the oldest.

use std::pin::Pin;

use domain::crashes::{Crash, Crashes};
use futures_util::{Stream, stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::desired_state::DesiredState;

/// Crashes that a reader may be behind.
const BEHIND_MAX: usize = 1024;

/// Sends each crash to all readers there are.
pub struct CrashSender(broadcast::Sender<Crash>);

impl Default for CrashSender {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }
}

impl CrashSender {
    /// Sends a crash to all current readers; without one it is dropped.
    pub fn send(&self, crash: Crash) {
        // Without a reader nobody needs it.
        let _ = self.0.send(crash);
    }

    /// Sends that a replica of the workload has crashed; `spec` is the hash of what it was made from.
    pub fn report(&self, desired: &DesiredState, spec: &str, pod: &str, crashes: Crashes) {
        let Some(workload) = desired.of_spec_or_wanted(spec) else { return };
        self.send(Crash {
            app: workload.id.app.clone(),
            process: workload.id.process.clone(),
            release: workload.release,
            pod: pod.to_owned(),
            memory_limit_bytes: workload.limits.memory_limit_bytes,
            crashes,
        });
    }

    /// Returns true if there is a reader now.
    pub fn has_readers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// All crashes from now on.
    pub fn read(&self) -> Pin<Box<dyn Stream<Item = Crash> + Send>> {
        Box::pin(stream::unfold(self.0.subscribe(), |mut crashes| async move {
            loop {
                match crashes.recv().await {
                    Ok(crash) => return Some((crash, crashes)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        }))
    }
}
