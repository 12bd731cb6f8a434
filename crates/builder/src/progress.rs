//! Stages of an SSH connection, and the time limit of each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::ssh::GOODBYE_MAX;

/// Longest time for a connection to offer a known key.
pub(crate) const AUTHENTICATION_MAX: Duration = Duration::from_secs(20);
/// And to sign with it: a person may be asked for the key's passphrase, or to touch a token.
const SIGNATURE_MAX: Duration = Duration::from_secs(60);
/// Longest life of a connection that was let in only to learn why it is refused.
const REFUSED_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LoginStage {
    Connected,
    /// A known key was offered.
    Offered,
    /// Let in only to learn why it is refused.
    Refused,
    Authenticated,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgressState {
    stage: LoginStage,
    /// Commands under way.
    running: usize,
}

/// Sender of the state; clones share it.
#[derive(Clone)]
pub(crate) struct ConnectionProgress(Arc<watch::Sender<ProgressState>>);

/// A command under way: counted until dropped.
pub(crate) struct RunningCommand(ConnectionProgress);

impl ProgressState {
    /// Time until the connection is ended, and the reason; `None` while a command is under way.
    pub(crate) fn time_left(
        self,
        age: Duration,
        idle_max: Duration,
        is_closing: bool,
    ) -> Option<(Duration, &'static str)> {
        if self.running > 0 {
            return None;
        }
        if is_closing {
            return Some((GOODBYE_MAX / 3, "the platform is stopping; try again when it is back"));
        }
        Some(match self.stage {
            LoginStage::Connected => (
                AUTHENTICATION_MAX.saturating_sub(age),
                "no key that is known here was offered within 20 seconds",
            ),
            LoginStage::Offered => {
                (SIGNATURE_MAX.saturating_sub(age), "authentication took longer than 60 seconds")
            }
            LoginStage::Refused => (REFUSED_MAX, "there is no room for this connection; try again later"),
            LoginStage::Authenticated => {
                (idle_max, "nothing was asked for; ask again when there is something")
            }
        })
    }
}

impl ConnectionProgress {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(ProgressState { stage: LoginStage::Connected, running: 0 })))
    }

    pub(crate) fn watch(&self) -> watch::Receiver<ProgressState> {
        self.0.subscribe()
    }

    pub(crate) fn running(&self) -> usize {
        self.0.borrow().running
    }

    /// Moves forward to `stage`, never back.
    pub(crate) fn reached(&self, stage: LoginStage) {
        self.0.send_if_modified(|state| {
            let is_further = stage > state.stage;
            state.stage = state.stage.max(stage);
            is_further
        });
    }
}

impl RunningCommand {
    pub(crate) fn new(progress: &ConnectionProgress) -> Self {
        progress.0.send_modify(|state| state.running += 1);
        Self(progress.clone())
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| state.running -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn left(stage: LoginStage, running: usize, age_seconds: u64) -> Option<Duration> {
        ProgressState { stage, running }
            .time_left(Duration::from_secs(age_seconds), IDLE, false)
            .map(|(left, _)| left)
    }

    #[test]
    fn time_to_authenticate_runs_from_the_start_and_is_longer_for_a_known_key() {
        assert_eq!(left(LoginStage::Connected, 0, 15), Some(Duration::from_secs(5)));
        assert_eq!(left(LoginStage::Connected, 0, 30), Some(Duration::ZERO));
        assert_eq!(left(LoginStage::Offered, 0, 15), Some(Duration::from_secs(45)));
        assert_eq!(left(LoginStage::Authenticated, 0, 900), Some(IDLE));
    }

    #[test]
    fn a_command_under_way_is_not_overdue() {
        assert_eq!(left(LoginStage::Authenticated, 1, 900), None);
    }
}
