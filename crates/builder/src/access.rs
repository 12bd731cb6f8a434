//! Requests to the controller: the owner of a key, access to an app, the app's config, and the release.
//!
//! The texts of refusals are made here, in one place.

use std::sync::Arc;
use std::time::Duration;

use api::client::{Address, Client, ClientError};
use api::hooks::{BuildDone, BuildOutcome, RepositoryAccess};
use backon::{ExponentialBuilder, Retryable as _};
use domain::AppName;
use domain::branch::DeployBranch;
use domain::stacks::StackName;
use tokio::sync::Semaphore;

use crate::{BuilderError, BuilderSettings};

/// Longest wait for a response that the controller has ready.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Keys that are looked up at once.
const LOOKUPS_MAX: usize = 16;
/// Pauses between requests while the controller does not answer.
const RETRIES: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(200)).with_max_times(3);

/// The controller's internal listener.
pub(crate) struct HooksClient {
    client: Arc<Client>,
    release_deadline: Duration,
    /// Anybody may ask whose a key is: questions of strangers take no more threads than these.
    lookups: Semaphore,
}

/// A refusal or failure of the controller. The text is shown to the pusher.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("{user} may not use the app `{app}`; ask its owner for `deis perms:create {user} -a {app}`")]
    Forbidden { user: String, app: AppName },
    #[error(
        "the app `{app}` does not exist; create it with `deis create {app}`, or correct the remote with \
         `deis git:remote -a <app>`"
    )]
    NoApp { app: AppName },
    /// The controller's own words.
    #[error("{detail}")]
    Locked { detail: String },
    #[error("the platform's controller does not answer; try again in a minute")]
    Unreachable,
    #[error("the controller returned an error when publishing the release: {detail}")]
    NotReleased { detail: String },
    #[error(
        "the release took longer than {seconds} seconds and may still go on; see `deis releases` before you push again"
    )]
    TooSlow { seconds: u64 },
    #[error("the controller refused the builder ({status}); tell the operator to compare their keys")]
    Refused { status: u16 },
}

impl HooksClient {
    pub(crate) fn new(settings: &BuilderSettings) -> Result<Self, BuilderError> {
        let url = &settings.hooks_url;
        let wrong =
            |error: ClientError| BuilderError::HooksUrl { url: url.clone(), reason: error.to_string() };
        let address = Address::parse(url).map_err(wrong)?;
        let client = Client::new(address, true).with_builder_key(settings.builder_key.as_str());
        let release_deadline = Duration::from_secs(u64::from(settings.release_deadline_seconds));
        Ok(Self { client: Arc::new(client), release_deadline, lookups: Semaphore::new(LOOKUPS_MAX) })
    }

    /// The owner of an SSH key; `None` where nobody has it.
    pub(crate) async fn key_owner(&self, public: String) -> Result<Option<String>, AccessError> {
        let _turn = self.lookups.acquire().await.map_err(|_| AccessError::Unreachable)?;
        let owner = self.ask(move |client| client.hook_key_owner(&public)).await;
        owner.map(|owner| owner.map(|owner| owner.username)).map_err(|error| unexpected(&error))
    }

    /// Checks that the user may push to and clone exactly this app.
    pub(crate) async fn access(&self, user: &str, app: &AppName) -> Result<RepositoryAccess, AccessError> {
        let (name, repository) = (user.to_owned(), app.to_string());
        let answer = self.ask(move |client| client.hook_access(&name, &repository)).await;
        let access = answer.map_err(|error| denied(&error, user, app))?;
        if access.app != app.as_str() {
            return Err(AccessError::NoApp { app: app.clone() });
        }
        Ok(access)
    }

    /// The variables that the app's next build gets.
    pub(crate) async fn config(
        &self,
        user: &str,
        app: &AppName,
    ) -> Result<std::collections::BTreeMap<String, String>, AccessError> {
        let (name, repository) = (user.to_owned(), app.to_string());
        let answer = self.ask(move |client| client.hook_config(&name, &repository)).await;
        let config = answer.map_err(|error| denied(&error, user, app))?;
        Ok(config.values.into_iter().map(|(name, value)| (name, text(value))).collect())
    }

    /// Every app there is.
    pub(crate) async fn apps(&self) -> Result<Vec<String>, AccessError> {
        self.ask(Client::hook_apps).await.map(|apps| apps.apps).map_err(|error| unexpected(&error))
    }

    /// Releases a build; answers when the deploy has ended. Asked once only: a second one would be a second release.
    pub(crate) async fn release(&self, build: BuildDone) -> Result<BuildOutcome, AccessError> {
        let client = Arc::clone(&self.client);
        let asked = tokio::task::spawn_blocking(move || client.hook_build(&build));
        match tokio::time::timeout(self.release_deadline, asked).await {
            Ok(Ok(Ok(released))) => Ok(released),
            Ok(Ok(Err(error))) => Err(AccessError::NotReleased { detail: detail(&error) }),
            Ok(Err(error)) => Err(AccessError::NotReleased { detail: error.to_string() }),
            Err(_) => Err(AccessError::TooSlow { seconds: self.release_deadline.as_secs() }),
        }
    }

    /// Asks on a thread of its own, as the client blocks, again and again while nobody answers.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&Client) -> Result<T, ClientError> + Clone + Send + 'static,
    ) -> Result<T, Option<ClientError>> {
        let ask = || async {
            let (client, question) = (Arc::clone(&self.client), question.clone());
            let asked = tokio::task::spawn_blocking(move || question(&client));
            match tokio::time::timeout(ANSWER_MAX, asked).await {
                Ok(Ok(answer)) => answer.map_err(Some),
                Ok(Err(_)) | Err(_) => Err(None),
            }
        };
        ask.retry(RETRIES).when(|error| error.as_ref().is_some_and(ClientError::may_pass)).await
    }
}

/// The branch whose pushes deploy, where one was deployed or chosen.
pub(crate) fn deploy_branch(access: &RepositoryAccess) -> Result<Option<DeployBranch>, AccessError> {
    access.branch.as_deref().map(DeployBranch::parse).transpose().map_err(|error| malformed(&error))
}

/// The stack of the app; a controller from before there was a choice says none.
pub(crate) fn stack(access: &RepositoryAccess) -> Result<StackName, AccessError> {
    let Some(name) = &access.stack else { return Ok(StackName::bookworm()) };
    StackName::parse(name).map_err(|error| malformed(&error))
}

fn malformed(error: &dyn std::fmt::Display) -> AccessError {
    tracing::warn!(%error, "the controller's answer about an app is malformed");
    AccessError::Unreachable
}

fn denied(error: &Option<ClientError>, user: &str, app: &AppName) -> AccessError {
    match error.as_ref().and_then(ClientError::status) {
        Some(403) => AccessError::Forbidden { user: user.to_owned(), app: app.clone() },
        Some(404) => AccessError::NoApp { app: app.clone() },
        Some(409) => AccessError::Locked { detail: error.as_ref().map(detail).unwrap_or_default() },
        _ => unexpected(error),
    }
}

fn unexpected(error: &Option<ClientError>) -> AccessError {
    let reason = error.as_ref().map_or_else(|| "no answer in time".to_owned(), ToString::to_string);
    tracing::warn!(reason, "the controller's hooks are not usable");
    match error.as_ref().and_then(ClientError::status) {
        Some(status @ 400..=499) => AccessError::Refused { status },
        _ => AccessError::Unreachable,
    }
}

/// The reason in the controller's own words, where it gave one.
fn detail(error: &ClientError) -> String {
    error.detail().unwrap_or_else(|| match error {
        ClientError::Status { status, body } => {
            format!("{status} {}", body.chars().take(500).collect::<String>())
        }
        other => other.to_string(),
    })
}

/// Values are texts; older clients could set numbers and booleans.
fn text(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}
