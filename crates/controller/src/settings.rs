//! Settings of the controller. Reading them from flags and environment is the server's work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use domain::auto_certs::ChallengeKind;
use domain::domains::DOMAINS_PER_APP;
use domain::stacks::Stacks;
pub use domain::users::RegistrationMode;

use crate::directory::Directory;
use crate::dns::DnsServers;
use crate::password_policy::PasswordPolicy;

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

/// Settings of the controller (docs/spec/api.md 7).
#[derive(Debug, Clone)]
pub struct ControllerSettings {
    pub registration_mode: RegistrationMode,
    /// Rule for new passwords.
    pub password_policy: PasswordPolicy,
    /// Names that no app may have.
    pub reserved_names: BTreeSet<String>,
    /// Domains that an app may have, its own name among them.
    pub domains_per_app: u32,
    /// Where the TXT record that proves a domain is looked up before the domain is added; `None` asks for no proof.
    pub domain_proof: Option<DnsServers>,
    /// Apps are reached as `<app>.<platform_domain>`.
    pub platform_domain: String,
    /// Stacks that apps can choose, and that of new apps.
    pub stacks: Stacks,
    /// Builder of Cloud Native Buildpacks for apps that name none.
    pub default_builder: Option<String>,
    /// Shared with the builder, for the internal listener.
    pub builder_key: Secret,
    /// URL of the logger, such as `http://127.0.0.1:9002`.
    pub logger_url: Option<String>,
    /// Key for reading lines from the logger.
    pub logger_key: Option<Secret>,
    /// Seconds that each batch of replicas has to get ready.
    pub deploy_timeout_seconds: u32,
    /// Replicas of a process type that may be starting at the same time; 0 leaves it to the platform.
    pub deploy_batches: u32,
    /// Seconds between TERM and KILL.
    pub grace_seconds: u32,
    /// Former versions of a process type that an engine which keeps any keeps; `None` leaves it to the engine.
    pub revisions_kept: Option<u32>,
    /// Sets the address of the replica in the environment.
    pub expose_addresses: bool,
    /// Memory limit of process types without one of their own, as users write limits; `None` leaves them without.
    pub default_memory: Option<String>,
    /// Builds of an app whose images are kept, to be rolled back to.
    pub builds_kept: u32,
    /// Seconds that a deploy waits for an engine that does not answer, before it fails.
    pub engine_timeout_seconds: u32,
    /// Longest time between two reads of the records for work. Short where others record changes in the same database, which wake
    /// nobody here.
    pub poll_interval: Duration,
    /// Removes process types that a new Procfile no longer has.
    pub procfile_missing_remove: bool,
    /// Refuses a build without a Procfile when the app had one.
    pub reject_if_procfile_missing: bool,
    /// Tags that each new app gets.
    pub default_tags: BTreeMap<String, String>,
    /// URLs called about each release. A URL may hold a password or token.
    pub deploy_hook_urls: Vec<Secret>,
    /// Signs the calls of deploy hooks.
    pub deploy_hook_secret: Option<Secret>,
    /// Certificate authority for automatic certificates; `None` leaves certificates to users.
    pub acme: Option<AcmeSettings>,
    /// Knows passwords besides the platform.
    pub directory: Option<Directory>,
}

/// The ACME certificate authority, whose terms the operator has agreed to.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// Its directory, an `https` URL.
    pub directory: String,
    /// Address for the authority's notices to the operator.
    pub email: String,
    /// Trusted authorities for connections to it, PEM; `None` means those of the system.
    pub ca_bundle: Option<String>,
    /// Challenges, taken in turn.
    pub challenges: Vec<ChallengeKind>,
    /// Time for all routers to learn of a challenge.
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
            password_policy: PasswordPolicy::default(),
            reserved_names: reserved.map(str::to_owned).into(),
            domains_per_app: DOMAINS_PER_APP,
            domain_proof: None,
            platform_domain: platform_domain.into(),
            stacks: Stacks::default(),
            default_builder: None,
            builder_key,
            logger_url: None,
            logger_key: None,
            deploy_timeout_seconds: 120,
            deploy_batches: 0,
            grace_seconds: 30,
            revisions_kept: None,
            expose_addresses: false,
            default_memory: None,
            builds_kept: domain::retention::BUILDS_KEPT_DEFAULT,
            engine_timeout_seconds: 60,
            poll_interval: Duration::from_secs(30),
            procfile_missing_remove: true,
            reject_if_procfile_missing: false,
            default_tags: BTreeMap::new(),
            deploy_hook_urls: Vec::new(),
            deploy_hook_secret: None,
            acme: None,
            directory: None,
        }
    }

    /// The default memory limit in bytes.
    pub(crate) fn default_memory_bytes(&self) -> Option<u64> {
        let (_, limit) = domain::config::memory_bytes(self.default_memory.as_deref()?);
        (limit > 0).then_some(limit)
    }
}
