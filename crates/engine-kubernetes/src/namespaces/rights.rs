//! The platform's rights in the namespace of an app: a RoleBinding of a fixed ClusterRole, which is all that
//! the controller may bind.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::PostParams;
use kube::{Api, Error};

use super::Spaces;
use crate::failure::{code, is_conflict};
use crate::objects::rights;

/// Pauses until the API server's authorizer knows a fresh binding.
const RETRIES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(10))
    .with_max_delay(Duration::from_millis(500))
    .without_max_times()
    .with_total_delay(Some(Duration::from_secs(10)));

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
pub(super) async fn once_allowed<T, F>(is_new: bool, call: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    call.retry(RETRIES).when(|error| is_new && code(error) == Some(403)).await
}
