//! Automatic certificates from an ACME certificate authority (RFC 8555).
//!
//! A pass reads the due domains from the store and gives each a worker of its own, so that none waits for another.
//! It does not depend on events, and every step is recorded before the next: after a kill the next leader
//! continues.

mod authority;
mod order;
mod order_error;
mod transport;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use domain::auto_certs::{DomainState, standing};
use jiff::Timestamp;
use store::AutoDomainRecord;
use tokio::task::{Id, JoinSet};

use crate::Controller;
use crate::settings::AcmeSettings;
use authority::Authority;

/// Domains that are worked on at the same time; workers mostly wait.
const WORKERS_MAX: usize = 16;

/// Works for as long as this controller leads; rests for ever where there is no authority.
pub async fn run(controller: Controller) -> Infallible {
    let Some(settings) = controller.settings.acme.clone() else { return std::future::pending().await };
    let mut auto_certs = AutoCertsWorker::new(controller, settings);
    loop {
        auto_certs.pass(Timestamp::now()).await;
        auto_certs.something_happens().await;
    }
}

/// Workers and the domains that they have. Dropping it ends them where they are.
pub struct AutoCertsWorker {
    controller: Controller,
    authority: Arc<Authority>,
    workers: JoinSet<()>,
    busy: HashMap<Id, String>,
}

impl AutoCertsWorker {
    pub fn new(controller: Controller, settings: AcmeSettings) -> Self {
        let authority = Arc::new(Authority::new(settings));
        Self { controller, authority, workers: JoinSet::new(), busy: HashMap::new() }
    }

    /// Gives each domain that is due at `now` a worker, unless it has one; says how many there are then.
    pub async fn pass(&mut self, now: Timestamp) -> usize {
        match self.controller.store.due_auto_domains(now, 2 * WORKERS_MAX as i64).await {
            Ok(domains) => domains.into_iter().for_each(|domain| self.start(domain, now)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot read which domains need a certificate");
            }
        }
        self.workers.len()
    }

    fn start(&mut self, domain: AutoDomainRecord, now: Timestamp) {
        let standing = standing(&domain.domain, domain.served.as_ref(), &domain.progress, now);
        let is_busy = self.busy.values().any(|busy| *busy == domain.domain);
        if is_busy
            || self.busy.len() >= WORKERS_MAX
            || !matches!(standing, DomainState::Due | DomainState::Ordered)
        {
            return;
        }
        let (controller, authority) = (self.controller.clone(), Arc::clone(&self.authority));
        let name = domain.domain.clone();
        let worker = self.workers.spawn(async move { order::work(&controller, &authority, &domain).await });
        self.busy.insert(worker.id(), name);
    }

    /// Waits until a worker has ended; whether there was one.
    pub async fn worker_ends(&mut self) -> bool {
        let Some(ended) = self.workers.join_next_with_id().await else { return false };
        let id = match ended {
            Ok((id, ())) => id,
            Err(panic) => {
                tracing::error!(%panic, "getting a certificate failed by a bug; it is tried again");
                panic.id()
            }
        };
        self.busy.remove(&id);
        true
    }

    /// Waits for a reason to make another pass.
    async fn something_happens(&mut self) {
        let (controller, is_busy) = (self.controller.clone(), !self.busy.is_empty());
        tokio::select! {
            () = controller.certs_wanted.notified() => {}
            _ = self.worker_ends(), if is_busy => {}
            () = tokio::time::sleep(controller.settings.poll_interval) => {}
        }
    }
}
