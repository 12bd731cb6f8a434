//! Waiting for the end of a deploy. The deployer does the work, also after the waiting client hangs up.

use std::time::Duration;

use domain::AppName;
use store::{DeployState, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::Controller;

/// Longest wait for a deploy; clients wait as long.
const DEPLOY_SECONDS_MAX: u64 = 1_300;
/// Longest wait for an app to be gone.
const REMOVAL_SECONDS_MAX: u64 = 120;
/// Interval at which the records are read again without a notification.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// End of a deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployOutcome {
    Succeeded,
    /// The reason is in words for the app's users.
    Failed {
        reason: String,
    },
    /// The app was removed meanwhile.
    Removed,
    /// Still under way; it continues.
    Unfinished,
}

impl Controller {
    /// Waits until a deploy has ended; one that was superseded ends as its successor does.
    pub async fn wait_for(&self, deploy: i64) -> Result<DeployOutcome, StoreError> {
        let ends = Instant::now() + Duration::from_secs(DEPLOY_SECONDS_MAX);
        let mut changed = self.ended.subscribe();
        let mut id = deploy;
        while Instant::now() < ends {
            let found = match self.store.deploy(id).await {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(DeployOutcome::Removed),
                Err(error) if error.can_be_retried() => {
                    a_sign(&mut changed, ends).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match (found.state, found.successor) {
                (DeployState::Succeeded, _) => return Ok(DeployOutcome::Succeeded),
                (DeployState::Failed, _) => {
                    return Ok(DeployOutcome::Failed { reason: found.reason.unwrap_or_default() });
                }
                (DeployState::Superseded, Some(successor)) => id = successor,
                _ => a_sign(&mut changed, ends).await,
            }
        }
        Ok(DeployOutcome::Unfinished)
    }

    /// Waits until an app that was removed is gone; says whether it is.
    pub async fn wait_for_removal(&self, app: &AppName) -> Result<bool, StoreError> {
        let ends = Instant::now() + Duration::from_secs(REMOVAL_SECONDS_MAX);
        let mut changed = self.ended.subscribe();
        while Instant::now() < ends {
            match self.store.app(app).await? {
                Some(record) if record.removing => a_sign(&mut changed, ends).await,
                _ => return Ok(true),
            }
        }
        Ok(false)
    }
}

/// Waits for something to end, but not for long: the records know best.
async fn a_sign(changed: &mut watch::Receiver<u64>, ends: Instant) {
    let poll_again = (Instant::now() + POLL_INTERVAL).min(ends);
    if let Ok(Err(_)) = timeout_at(poll_again, changed.changed()).await {
        // The deployer is gone; whatever ends now is seen in the records only.
        sleep_until(poll_again).await;
    }
}
