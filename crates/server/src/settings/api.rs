//! Settings of the API and of deploys (docs/spec/api.md 7), the same on one machine and in a cluster.

use anyhow::ensure;
use clap::ArgAction::Set;
use clap::builder::BoolishValueParser;
use controller::{ControllerSettings, PasswordPolicy, RegistrationMode, Secret};

use super::{AcmeArguments, DeployRules, DomainProofSettings, LdapSettings};

/// Least default memory limit: with less, ordinary programs do not start.
const DEFAULT_MEMORY_BYTES_MIN: u64 = 16 << 20;

#[derive(Debug, Clone, clap::Args)]
pub struct ApiSettings {
    /// Platform domain: the API answers at `deis.<domain>`, apps at `<app>.<domain>`.
    #[arg(long, env = "WORKFLOW_DOMAIN", default_value = "localhost")]
    pub domain: String,

    /// Users that may register: `enabled` (anyone), `admin_only` (the first user, then administrators),
    /// `disabled`.
    #[arg(long, env = "REGISTRATION_MODE", default_value = "admin_only")]
    pub registration_mode: RegistrationMode,

    /// New passwords: `on` wants 8 characters, not the user's name, none of the commonest; `off` takes any.
    #[arg(long, env = "WORKFLOW_PASSWORD_POLICY", default_value = "on")]
    pub password_policy: PasswordPolicy,

    /// App names that nobody may take.
    #[arg(
        long,
        env = "RESERVED_NAMES",
        value_delimiter = ',',
        default_value = "deis,deis-builder,deis-workflow-manager,grafana"
    )]
    pub reserved_names: Vec<String>,

    /// Domains that an app may have, its own name among them.
    #[arg(long, env = "WORKFLOW_APP_DOMAINS_MAX", default_value_t = 100)]
    pub app_domains_max: u32,

    #[command(flatten)]
    pub domain_proof: DomainProofSettings,

    /// Seconds that one batch of replicas may take to become ready.
    #[arg(long, env = "DEIS_DEPLOY_TIMEOUT", default_value_t = 120)]
    pub deploy_timeout: u32,

    /// Replicas of a process type that may be starting at the same time in a rollout; 0 means 4.
    #[arg(long, env = "DEIS_DEPLOY_BATCHES", default_value_t = 0)]
    pub deploy_batches: u32,

    /// Seconds between TERM and KILL.
    #[arg(long, env = "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS", default_value_t = 30)]
    pub termination_grace: u32,

    /// Former versions that Kubernetes keeps of each process type; apps may set their own [default:
    /// Kubernetes' own, 10].
    #[arg(long, env = "KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT")]
    pub revision_history_limit: Option<u32>,

    /// Set POD_IP to the address of the container; apps may decide for themselves.
    #[arg(
        long,
        env = "DEIS_EXPOSE_POD_IP",
        action = Set,
        value_parser = BoolishValueParser::new(),
        default_value = "false"
    )]
    pub expose_pod_ip: bool,

    /// Memory limit of each replica of a process type that has none of its own, such as `512M`; `none` leaves
    /// it without. `deis limits:set web=0` takes it away from one type.
    #[arg(long, env = "WORKFLOW_DEFAULT_MEMORY", default_value = "1G")]
    pub default_memory: String,

    /// Builds of each app whose images are kept, to be rolled back to.
    #[arg(long, env = "WORKFLOW_BUILDS_KEPT", default_value_t = domain::retention::BUILDS_KEPT_DEFAULT)]
    pub builds_kept: u32,

    #[command(flatten)]
    pub deploys: DeployRules,

    #[command(flatten)]
    pub acme: AcmeArguments,

    #[command(flatten)]
    pub ldap: LdapSettings,
}

impl ApiSettings {
    pub fn check(&self) -> anyhow::Result<()> {
        check_domain(&self.domain)?;
        ensure!(self.deploy_timeout > 0, "--deploy-timeout 0: expected at least 1 second");
        let domains = self.app_domains_max;
        ensure!((1..=500).contains(&domains), "--app-domains-max {domains}: expected 1 to 500");
        self.domain_proof.check()?;
        ensure!(self.builds_kept > 0, "--builds-kept 0: expected at least 1");
        self.default_memory()?;
        self.acme.check()?;
        self.ldap.directory()?;
        self.deploys.check()
    }

    /// The default memory limit as users write limits.
    fn default_memory(&self) -> anyhow::Result<Option<String>> {
        let text = self.default_memory.trim();
        if matches!(text, "none" | "0" | "") {
            return Ok(None);
        }
        let (request, limit) = domain::config::memory_bytes(text);
        ensure!(
            request == 0 && limit >= DEFAULT_MEMORY_BYTES_MIN,
            "--default-memory `{text}`: expected at least 16M, such as 512M or 1G, or none"
        );
        Ok(Some(text.to_owned()))
    }

    /// A controller with these rules.
    pub fn controller(&self, builder_key: Secret) -> anyhow::Result<ControllerSettings> {
        let Self {
            domain,
            registration_mode,
            password_policy,
            reserved_names,
            app_domains_max,
            domain_proof,
            deploy_timeout,
            deploy_batches,
            termination_grace,
            revision_history_limit,
            expose_pod_ip,
            default_memory: _,
            builds_kept,
            deploys,
            acme,
            ldap,
        } = self;
        deploys.applied_to(ControllerSettings {
            registration_mode: *registration_mode,
            password_policy: *password_policy,
            reserved_names: reserved_names.iter().map(|name| name.trim().to_owned()).collect(),
            domains_per_app: *app_domains_max,
            domain_proof: domain_proof.servers(),
            deploy_timeout_seconds: *deploy_timeout,
            deploy_batches: *deploy_batches,
            grace_seconds: *termination_grace,
            revisions_kept: *revision_history_limit,
            expose_addresses: *expose_pod_ip,
            default_memory: self.default_memory()?,
            builds_kept: *builds_kept,
            acme: acme.settings()?,
            directory: ldap.directory()?,
            ..ControllerSettings::new(domain, builder_key)
        })
    }
}

pub fn check_domain(domain: &str) -> anyhow::Result<()> {
    let labels_well = domain.split('.').all(is_dns_label);
    ensure!(
        labels_well && domain.len() <= 200,
        "--domain `{domain}`: expected a DNS name such as apps.example.com or localhost"
    );
    Ok(())
}

fn is_dns_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let letters_well =
        bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    (1..=63).contains(&bytes.len()) && letters_well && !label.starts_with('-') && !label.ends_with('-')
}
