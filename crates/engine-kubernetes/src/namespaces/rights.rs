//! The platform's rights in the namespace of an app: a RoleBinding of a fixed ClusterRole, which is all that
//! the controller may bind.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PostParams;
use kube::{Api, Error};
use tokio::time::{Instant, sleep};

use super::Spaces;
use crate::failure::{code, is_conflict};
use crate::objects::rights;

/// Longest time until the API server's authorizer knows a fresh binding.
const KNOWN_MAX: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);

impl Spaces {
    /// Gives the controller its rights in the namespace; whether it did not have them before.
    pub(super) async fn bind(&self, space: &str) -> Result<bool, Error> {
        let Some(role) = &self.settings.apps_role else { return Ok(false) };
        let bindings = Api::<RoleBinding>::namespaced(self.client.clone(), space);
        let binding = rights::binding(role, &self.settings.platform_namespace);
        match bindings.create(&PostParams::default(), &binding).await {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Does what needs rights that were just given; the authorizer learns of them by a watch.
pub(super) async fn once_allowed<T, F>(is_new: bool, mut call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let until = Instant::now() + KNOWN_MAX;
    let mut pause = PAUSE_MIN;
    loop {
        match call().await {
            Err(error) if is_new && code(&error) == Some(403) && Instant::now() < until => {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            done => return done,
        }
    }
}
