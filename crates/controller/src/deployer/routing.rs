//! Routing of an app, made from the records.

use std::sync::PoisonError;

use domain::AppName;
use domain::routing::{AppRouting, Claim, PathService};
use domain::structure::{Structure, nobody_serves, routing_target};
use engine::EngineError;
use store::{DomainRecord, PageRange, ServiceRecord, StoreError};

use crate::Controller;

/// A failure to give the engine an app's routing.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Controller {
    /// Gives the engine the app's current routing, after a change of its domains, services or settings. If the
    /// engine does not answer, the deployer does it later.
    pub async fn refresh_routing(&self, app: &AppName) -> Result<(), RoutingError> {
        let told = self.publish_routing(app).await;
        if told.is_err() {
            self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).insert(app.clone());
            self.wake.notify_one();
        }
        told
    }

    /// Returns true if the app is routable.
    pub(crate) async fn is_reached(&self, app: &AppName) -> Result<bool, StoreError> {
        let routing = self.routing(app).await?;
        Ok(routing.routable && routing.target.is_some())
    }

    async fn publish_routing(&self, app: &AppName) -> Result<(), RoutingError> {
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

impl Controller {
    /// Warning that nothing serves an app after this deploy; `None` if a process does, or another deploy took its
    /// place.
    pub(crate) async fn nobody_serves(&self, deploy: i64) -> Result<Option<String>, StoreError> {
        let Some(deploy) = self.store.deploy(deploy).await?.filter(|deploy| deploy.successor.is_none())
        else {
            return Ok(None);
        };
        let content = self.store.release_content(&deploy.app, deploy.version).await?;
        let build = content.and_then(|content| content.build);
        Ok(build.and_then(|record| nobody_serves(&record.build, &deploy.structure, &deploy.run)))
    }
}

/// Routing of an app that runs with `structure`.
pub(super) async fn route(
    controller: &Controller,
    app: &AppName,
    structure: &Structure,
) -> Result<AppRouting, StoreError> {
    let domains = controller.store.domains(app, PageRange::ALL).await?.rows;
    let settings = controller.store.settings(app).await?.settings;
    let tls = controller.store.tls(app).await?;
    let certificates = controller.store.attached_certs(app).await?;
    let challenges = controller.store.challenges(app).await?;
    let mut services: Vec<_> = controller.store.services(app).await?.into_iter().map(path_service).collect();
    let owner = controller.store.app(app).await?.map(|app| app.owner);
    services.sort_by(|one, other| one.process.cmp(&other.process));
    Ok(AppRouting {
        app: app.clone(),
        target: routing_target(structure),
        domains: domains.iter().map(claim).collect(),
        edge: settings.edge(tls.https_enforced.unwrap_or(false)),
        routable: settings.routable,
        certificates,
        services,
        challenges,
        owner,
    })
}

fn path_service(service: ServiceRecord) -> PathService {
    let ServiceRecord { app: _, process, path_pattern, created: _, updated: _ } = service;
    PathService { process, path_pattern }
}

fn claim(domain: &DomainRecord) -> Claim {
    Claim { host: domain.domain.clone(), since_ms: domain.created.as_millisecond() }
}
