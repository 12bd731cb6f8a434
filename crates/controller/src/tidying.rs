//! Has the database tidied by the controller that leads: at first, each time an app was removed, and once in a while.

use std::convert::Infallible;
use std::time::Duration;

use store::StoreError;
use tokio::time::{sleep, timeout};

use crate::Controller;

/// Interval at which the whole database is tidied.
const TIDY_EVERY: Duration = Duration::from_hours(1);
/// Pause between two batches, for other users of the database.
const PAUSE: Duration = Duration::from_millis(20);
/// Pause after an error of the database.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// Works for as long as this controller leads.
pub(crate) async fn run(controller: Controller) -> Infallible {
    loop {
        let pause = match tidy(&controller).await {
            Ok(()) => TIDY_EVERY,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot tidy the database");
                RETRY_PAUSE
            }
        };
        while timeout(pause, controller.room_freed.notified()).await.is_ok() {
            if let Err(error) = controller.store.give_back_room().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot give back room");
            }
        }
    }
}

async fn tidy(controller: &Controller) -> Result<(), StoreError> {
    let mut tidying = controller.store.tidying();
    while tidying.step().await? {
        sleep(PAUSE).await;
    }
    if tidying.removed + tidying.shared > 0 {
        let (removed, shared) = (tidying.removed, tidying.shared);
        tracing::info!(removed, shared, "tidied the database: rows of apps that are gone, configs of old");
    }
    if tidying.unopened > 0 {
        tracing::warn!("no key at hand opens {} configs; they stay as they are", tidying.unopened);
    }
    Ok(())
}
