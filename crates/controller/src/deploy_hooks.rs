//! Calls of the operator's deploy hooks about each release (docs/spec/api.md 5.9), in the background of the
//! request that made it. Failures are logged in the app's log and stop nothing.

use std::sync::Arc;

use domain::deploy_hooks::{ReleaseFacts, shown, signature};
use http::Uri;
use outbound::{Notifier, OutboundException, OutboundPolicy};
use store::ReleaseRecord;
use tokio::sync::Semaphore;

use crate::{Controller, Secret};

/// Releases that are reported at the same time; further ones are not reported.
const UNDER_WAY_MAX: usize = 64;

/// Sends calls, and limits those under way.
#[derive(Clone)]
pub(crate) struct DeployHooks {
    turns: Arc<Semaphore>,
    notifier: Notifier,
}

impl DeployHooks {
    pub(crate) fn new(hooks: &[Secret]) -> Self {
        let notifier = Notifier::new(OutboundPolicy::new(hooks.iter().filter_map(listed)));
        Self { turns: Arc::new(Semaphore::new(UNDER_WAY_MAX)), notifier }
    }
}

impl Controller {
    /// Calls all hooks about a release, in the background.
    pub(crate) fn notify_deploy_hooks(&self, release: &ReleaseRecord) {
        if self.settings.deploy_hook_urls.is_empty() {
            return;
        }
        let Ok(turn) = Arc::clone(&self.deploy_hooks.turns).try_acquire_owned() else {
            tracing::warn!(app = %release.app, "too many deploy hooks are under way, a release is not told");
            return;
        };
        let (controller, release) = (self.clone(), release.clone());
        tokio::spawn(async move {
            controller.notify_all(&release).await;
            drop(turn);
        });
    }

    async fn notify_all(&self, release: &ReleaseRecord) {
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
            let said = match self.deploy_hooks.notifier.post(&url, signature.as_deref()).await {
                Ok(()) => format!("Deploy hook sent to {}", shown(hook)),
                Err(why) => {
                    format!("An error occurred while sending the deploy hook to {}: {why}", shown(hook))
                }
            };
            self.say(&release.app, said);
        }
    }
}

/// Configuring a hook allows connections to its host. A hook that is no URL fails when it is called.
fn listed(hook: &Secret) -> Option<OutboundException> {
    let uri: Uri = hook.expose().parse().ok()?;
    let usual = if uri.scheme_str() == Some("http") { 80 } else { 443 };
    let port = Some(uri.port_u16().unwrap_or(usual));
    Some(OutboundException::Host { host: uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase(), port })
}
