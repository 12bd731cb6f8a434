//! Of several controllers on one database, one runs the deployer and gets certificates; all of them answer the API.

use std::time::Duration;

use store::Lead;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::{Controller, auto_certs};

/// How often one that does not lead asks whether it may.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often one that leads asks whether it still does.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// How long the database may take to say that we do. Shorter than it takes to give the lead to another where it hears
/// nothing of us, so that two never carry out deploys at the same time.
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
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot ask for the lead");
            }
        }
        tokio::select! {
            () = sleep(ASK_EVERY) => {}
            // A closed channel means that whoever could stop us is gone.
            _ = shutdown.wait_for(|stop| *stop) => return,
        }
    }
}

/// Ends when the lead is lost or the process is to stop; then the lead is another's to take.
async fn until_lost(mut lead: Lead, mut shutdown: watch::Receiver<bool>) {
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
