//! Crashes for the reader that logs them: bounded, so that a slow reader loses the oldest.

use std::pin::Pin;

use domain::crashes::Crash;
use futures_util::{Stream, stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

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
