//! Tells the operator's deploy hooks about each release (api.md 5.9), beside the request that made it.
//! What goes wrong is said in the app's log and stops nothing.

use std::sync::Arc;
use std::time::Duration;

use domain::deploy_hooks::{ReleaseFacts, shown, signature};
use rustls::crypto::aws_lc_rs::default_provider;
use store::ReleaseRecord;
use tokio::sync::Semaphore;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::{Controller, Secret};

/// Releases that are told at the same time; more are not told.
const UNDER_WAY_MAX: usize = 64;
const ANSWER_SECONDS_MAX: u64 = 10;

/// Bounds what is under way.
#[derive(Clone)]
pub(crate) struct DeployHooks {
    turns: Arc<Semaphore>,
}

impl Default for DeployHooks {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(UNDER_WAY_MAX)) }
    }
}

impl Controller {
    /// Tells all hooks about a release, in the background.
    pub(crate) fn tell_deploy_hooks(&self, release: &ReleaseRecord) {
        if self.settings.deploy_hook_urls.is_empty() {
            return;
        }
        let Ok(turn) = Arc::clone(&self.deploy_hooks.turns).try_acquire_owned() else {
            tracing::warn!(app = %release.app, "too many deploy hooks are under way, a release is not told");
            return;
        };
        let (controller, release) = (self.clone(), release.clone());
        tokio::spawn(async move {
            controller.tell_all(&release).await;
            drop(turn);
        });
    }

    async fn tell_all(&self, release: &ReleaseRecord) {
        let sha = match self.store.release_content(&release.app, release.version).await {
            Ok(content) => content.and_then(|content| content.build).map(|build| build.build.sha),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a deploy hook is told no commit");
                None
            }
        };
        let facts = ReleaseFacts {
            app: release.app.to_string(),
            version: release.version,
            summary: release.summary.clone(),
            sha: sha.unwrap_or_default(),
            user: release.owner.clone(),
        };
        for hook in self.settings.deploy_hook_urls.iter().map(Secret::expose) {
            let url = facts.url(hook);
            let secret = self.settings.deploy_hook_secret.as_ref();
            let signature = secret.map(|secret| signature(&url, secret.expose()));
            let posted = tokio::task::spawn_blocking(move || post(&url, signature.as_deref())).await;
            let said = match posted.map_err(|error| error.to_string()).and_then(|sent| sent) {
                Ok(()) => format!("Deploy hook sent to {}", shown(hook)),
                Err(why) => {
                    format!("An error occurred while sending the deploy hook to {}: {why}", shown(hook))
                }
            };
            self.say(&release.app, said);
        }
    }
}

/// The error never names the URL, which may hold a secret.
fn post(url: &str, signature: Option<&str>) -> Result<(), String> {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(tls)
        .build();
    let mut request = Agent::new_with_config(config).post(url);
    if let Some(signature) = signature {
        request = request.header("Authorization", signature);
    }
    match request.send_empty() {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("it answered {}", answer.status())),
        Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => Err("its URL is not valid".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
