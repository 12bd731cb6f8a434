//! How an app is reached, as the records say it.

use std::sync::PoisonError;

use domain::AppName;
use domain::routing::{AppRouting, Claim, PathService};
use domain::settings::AppSettings;
use domain::structure::{Structure, routing_target};
use engine::EngineError;
use store::{Domain, Page, Service, StoreError};

use crate::Controller;

/// Why the engine was not told how to reach an app.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Controller {
    /// Tells the engine how the app is to be reached now, after a change of its domains, services or settings.
    /// Where the engine does not answer, the deployer tells it as soon as it does.
    pub async fn refresh_routing(&self, app: &AppName) -> Result<(), RoutingError> {
        let told = self.tell_routing(app).await;
        if told.is_err() {
            self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone());
            self.wake.notify_one();
        }
        told
    }

    /// Whether visitors reach the app at all.
    pub(crate) async fn is_reached(&self, app: &AppName) -> Result<bool, StoreError> {
        let routing = self.routing(app).await?;
        Ok(routing.routable && routing.target.is_some())
    }

    async fn tell_routing(&self, app: &AppName) -> Result<(), RoutingError> {
        let routing = self.routing(app).await?;
        Ok(self.engine.route(&routing).await?)
    }

    async fn routing(&self, app: &AppName) -> Result<AppRouting, StoreError> {
        let structure = match self.store.last_good_deploy(app).await? {
            Some(deploy) => deploy.structure,
            None => self.store.structure(app).await?,
        };
        route(self, app, &structure).await
    }
}

/// Routing of an app that runs with `structure`.
pub(super) async fn route(
    controller: &Controller,
    app: &AppName,
    structure: &Structure,
) -> Result<AppRouting, StoreError> {
    let domains = controller.store.domains(app, Page::ALL).await?.rows;
    let AppSettings { maintenance, routable, access_log, whitelist, autoscale: _, label: _ } =
        controller.store.settings(app).await?.settings;
    let tls = controller.store.tls(app).await?;
    let certificates = controller.store.attached_certs(app).await?;
    let challenges = controller.store.challenges(app).await?;
    let mut services: Vec<_> = controller.store.services(app).await?.into_iter().map(path_service).collect();
    services.sort_by(|one, other| one.process.cmp(&other.process));
    Ok(AppRouting {
        app: app.clone(),
        target: routing_target(structure),
        domains: domains.iter().map(claim).collect(),
        maintenance,
        routable,
        access_log,
        whitelist,
        https_enforced: tls.https_enforced.unwrap_or(false),
        certificates,
        services,
        challenges,
    })
}

fn path_service(service: Service) -> PathService {
    let Service { app: _, process, path_pattern, created: _, updated: _ } = service;
    PathService { process, path_pattern }
}

fn claim(domain: &Domain) -> Claim {
    Claim { host: domain.domain.clone(), since_ms: domain.created.as_millisecond() }
}
