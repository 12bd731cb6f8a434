//! The Services of an app: its own, one for each process type that some paths go to, and on each how many replicas
//! there should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::AppName;
use domain::deployment::WorkloadId;
use domain::routing::AppRouting;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use kube::api::{ListParams, ObjectMeta};

use super::failure::{failed, is_conflict};
use super::objects::path_service::path_service;
use super::objects::service;
use super::{Inner, names};
use engine::EngineError;

/// Retries of a change of a Service after conflicts.
const CHANGES_MAX: usize = 20;
/// Field manager of a Service's number of replicas, apart from the routing.
const SCALE_MANAGER: &str = "deis-workflow-scale";

impl Inner {
    /// Makes the Services that are wanted and removes those of paths that go elsewhere now.
    pub(super) async fn bring_services(&self, routing: &AppRouting) -> Result<(), kube::Error> {
        let app = &routing.app;
        self.apply::<Service>(app, &service::service(routing)).await?;
        let mut wanted = BTreeSet::new();
        for service in &routing.services {
            wanted.insert(self.apply::<Service>(app, &path_service(routing, service)).await?.name_any());
        }
        let part = format!("{}={}", names::PART_LABEL, names::PATHS_PART);
        let found = self.api::<Service>(app).list_metadata(&ListParams::default().labels(&part)).await?;
        for name in found.items.iter().map(ResourceExt::name_any).filter(|name| !wanted.contains(name)) {
            self.delete::<Service>(app, &name).await?;
        }
        Ok(())
    }

    /// Publishes to routers the wanted replicas of the process types that requests go to.
    pub(super) async fn publish_wanted(self: &Arc<Self>, app: &AppName) -> Result<(), EngineError> {
        let what = format!("tell routers about {app}");
        let params = ListParams::default().labels(&names::selector(&names::app_labels(app)));
        let found = match self.api::<Service>(app).list(&params).await {
            Err(error) if self.spaces.explains(app, &error).await => return Ok(()),
            found => found.map_err(|error| failed(&what, error))?,
        };
        for service in found.items {
            self.publish_wanted_of(app, service, &what).await?;
        }
        Ok(())
    }

    async fn publish_wanted_of(
        self: &Arc<Self>,
        app: &AppName,
        mut found: Service,
        what: &str,
    ) -> Result<(), EngineError> {
        let name = found.name_any();
        for _ in 0..CHANGES_MAX {
            let desired = match service::target(&found) {
                Some(process) => self.desired_state(&WorkloadId { app: app.clone(), process }).await?,
                None => None,
            };
            let wanted = desired.map_or(0, |desired| desired.replicas()).to_string();
            let annotations = found.metadata.annotations.as_ref();
            if annotations.and_then(|all| all.get(names::WANTED_ANNOTATION)) == Some(&wanted) {
                return Ok(());
            }
            let telling = Service {
                metadata: ObjectMeta {
                    name: Some(name.clone()),
                    resource_version: found.metadata.resource_version,
                    annotations: Some([(names::WANTED_ANNOTATION.to_owned(), wanted)].into()),
                    ..ObjectMeta::default()
                },
                ..Service::default()
            };
            match self.apply_as(SCALE_MANAGER, app, &telling).await {
                Ok(_) => return Ok(()),
                // Changed in the meantime, or removed.
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(failed(what, error)),
            }
            let again = self.api::<Service>(app).get_opt(&name).await;
            let Some(again) = again.map_err(|error| failed(what, error))? else { return Ok(()) };
            found = again;
        }
        Err(EngineError::Unreachable {
            what: what.to_owned(),
            source: "others change it all the time".into(),
        })
    }
}
