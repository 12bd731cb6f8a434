//! Settings of the controller. Reading them from flags and environment is the server's work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use domain::auto_certs::ChallengeKind;
pub use domain::users::RegistrationMode;

use crate::directory::Directory;

/// A text that must never reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What an operator decides about the controller (api.md 7).
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    pub registration_mode: RegistrationMode,
    /// Names that no app may have.
    pub reserved_names: BTreeSet<String>,
    /// Apps are reached as `<app>.<platform_domain>`.
    pub platform_domain: String,
    /// Shared with the builder, for the internal listener.
    pub builder_key: Secret,
    /// Where the logger answers, such as `http://127.0.0.1:9002`.
    pub logger_url: Option<String>,
    /// What the logger asks of those who read lines.
    pub logger_key: Option<Secret>,
    /// Seconds that each batch of replicas has to get ready.
    pub deploy_timeout_seconds: u32,
    /// Replicas of a process type that may be starting at the same time; 0 leaves it to the platform.
    pub deploy_batches: u32,
    /// Seconds between TERM and KILL.
    pub grace_seconds: u32,
    /// Former versions of a process type that an engine which keeps any keeps; `None` leaves it to the engine.
    pub revisions_kept: Option<u32>,
    /// Whether processes are told their replica's address.
    pub expose_addresses: bool,
    /// Seconds that a deploy waits for an engine that does not answer, before it fails.
    pub engine_patience_seconds: u32,
    /// Longest time without a look for work. Short where others record wishes in the same database, which wake
    /// nobody here.
    pub look_for_work_every: Duration,
    /// Whether process types that a new Procfile no longer has are removed.
    pub procfile_missing_remove: bool,
    /// Whether a build without Procfile is refused when the app had one.
    pub reject_if_procfile_missing: bool,
    /// Tags that each new app gets.
    pub default_tags: BTreeMap<String, String>,
    /// Told about each release. A URL may hold a password or token.
    pub deploy_hook_urls: Vec<Secret>,
    /// Signs what deploy hooks are told.
    pub deploy_hook_secret: Option<Secret>,
    /// Where certificates come from that nobody brings; `None` leaves them to users.
    pub acme: Option<AcmeSettings>,
    /// Knows passwords besides the platform.
    pub directory: Option<Directory>,
}

/// The ACME certificate authority, whose terms the operator has agreed to.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// Its directory, an `https` URL.
    pub directory: String,
    /// Whom it tells what an operator must know.
    pub email: String,
    /// Whom to trust when it is asked, PEM; `None` means whom the system trusts.
    pub ca_bundle: Option<String>,
    /// Ways to show whose a domain is, taken in turn.
    pub challenges: Vec<ChallengeKind>,
    /// What all routers get to learn of a challenge.
    pub settle: Duration,
}

impl AcmeSettings {
    pub fn new(directory: impl Into<String>, email: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            email: email.into(),
            ca_bundle: None,
            challenges: vec![ChallengeKind::Http01, ChallengeKind::TlsAlpn01],
            settle: Duration::from_secs(5),
        }
    }
}

impl ControllerSettings {
    /// The defaults for a platform at `platform_domain`.
    pub fn new(platform_domain: impl Into<String>, builder_key: Secret) -> Self {
        let reserved = ["deis", "deis-builder", "deis-workflow-manager", "grafana"];
        Self {
            registration_mode: RegistrationMode::default(),
            reserved_names: reserved.map(str::to_owned).into(),
            platform_domain: platform_domain.into(),
            builder_key,
            logger_url: None,
            logger_key: None,
            deploy_timeout_seconds: 120,
            deploy_batches: 0,
            grace_seconds: 30,
            revisions_kept: None,
            expose_addresses: false,
            engine_patience_seconds: 60,
            look_for_work_every: Duration::from_secs(30),
            procfile_missing_remove: true,
            reject_if_procfile_missing: false,
            default_tags: BTreeMap::new(),
            deploy_hook_urls: Vec::new(),
            deploy_hook_secret: None,
            acme: None,
            directory: None,
        }
    }
}
