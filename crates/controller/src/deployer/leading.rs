//! Of several controllers on one database, one runs the deployer, gets certificates, removes old rows and logs
//! crashes; all of them answer the API.

use std::time::Duration;

use store::Leadership;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::{Controller, auto_certs, crashes, retention, tidying};

/// Interval at which a follower tries to become the leader.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Interval at which the leader checks that it still is.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Longest wait of the leader for the database. Shorter than the time after which the database gives the lead of a
/// silent leader to another, so that two never carry out deploys at the same time.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Runs the deployer, and what gets certificates, while this controller leads, until `shutdown` turns true or closes.
pub async fn run_while_leading(controller: Controller, mut shutdown: watch::Receiver<bool>) {
    loop {
        match controller.store.lead().await {
            Ok(Some(lead)) => {
                tracing::info!("this controller carries out deploys");
                let ends = until_lost(lead, shutdown.clone());
                tokio::select! {
                    () = super::run(controller.clone(), ends) => {}
                    never = auto_certs::run(controller.clone()) => match never {},
                    never = tidying::run(controller.clone()) => match never {},
                    never = retention::run(controller.clone()) => match never {},
                    never = crashes::run(controller.clone()) => match never {},
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot ask for the lead");
            }
        }
        tokio::select! {
            () = sleep(ASK_EVERY) => {}
            // A closed channel means that the sender of the stop signal is gone.
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
    }
}

/// Ends when the lead is lost or the process is to stop; then the lead is another's to take.
async fn until_lost(mut lead: Leadership, mut shutdown: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = sleep(CHECK_EVERY) => {}
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
        if !timeout(ANSWER_MAX, lead.holds()).await.unwrap_or(false) {
            tracing::warn!("another controller may carry out deploys by now");
            return;
        }
    }
}
