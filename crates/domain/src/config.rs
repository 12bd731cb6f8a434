//! Config: the variables, limits, tags, registry account, health checks and hooks of an app.
//!
//! A config is never edited: a patch makes the next one (docs/spec/api.md 4.7). What a group means for a
//! running process is decided in `workload_plan`.

mod limits;
mod parts;
mod patch;
mod probes;
mod size;
mod summary;
#[cfg(test)]
mod tests;
mod validation;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use limits::{cpu_millis, memory_bytes};
pub use parts::PARTS_MAX;
pub use patch::ConfigPatch;
pub use probes::{PROBES_OF_ROUTABLE, probes};
pub use size::CONFIG_BYTES_MAX;
pub(crate) use summary::changes;

/// A group whose values are texts.
pub type Texts = BTreeMap<String, String>;
/// Process type (or `web/cmd`), then `livenessProbe` or `readinessProbe`, then the probe as given.
pub type Healthchecks = BTreeMap<String, BTreeMap<String, Value>>;

/// The group of probes in the API.
const HEALTHCHECK: &str = "healthcheck";

/// Everything about an app that its users set and that makes a release.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub values: Texts,
    pub memory: Texts,
    pub lifecycle_post_start: Texts,
    pub lifecycle_pre_stop: Texts,
    pub cpu: Texts,
    pub tags: Texts,
    pub registry: Texts,
    pub healthcheck: Healthchecks,
    pub termination_grace_period: Texts,
}

/// A group of texts; the order is that of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Values,
    Memory,
    LifecyclePostStart,
    LifecyclePreStop,
    Cpu,
    Tags,
    Registry,
    TerminationGracePeriod,
}

/// A config change that was refused. The display text is the `detail` of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// All messages about all groups.
    #[error("config is not valid: {}", .0.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<(&'static str, String)>),
    #[error("{key} does not exist under {group}")]
    NotSet { key: String, group: &'static str },
    #[error("PORT needs to be set in the config when using a private registry")]
    RegistryWithoutPort,
}

/// An account at a registry, as the group `registry` holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAccount {
    pub username: String,
    pub password: String,
    pub hostname: Option<String>,
}

impl Group {
    /// All groups; the health checks are not one of them.
    pub const ALL: [Self; 8] = [
        Self::Values,
        Self::Memory,
        Self::LifecyclePostStart,
        Self::LifecyclePreStop,
        Self::Cpu,
        Self::Tags,
        Self::Registry,
        Self::TerminationGracePeriod,
    ];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Values => "values",
            Self::Memory => "memory",
            Self::LifecyclePostStart => "lifecycle_post_start",
            Self::LifecyclePreStop => "lifecycle_pre_stop",
            Self::Cpu => "cpu",
            Self::Tags => "tags",
            Self::Registry => "registry",
            Self::TerminationGracePeriod => "termination_grace_period",
        }
    }
}

impl Config {
    /// The first config of an app.
    pub fn initial(default_tags: &Texts) -> Self {
        Self { tags: default_tags.clone(), ..Self::default() }
    }

    /// Names and values of a group.
    pub fn texts(&self, group: Group) -> &Texts {
        match group {
            Group::Values => &self.values,
            Group::Memory => &self.memory,
            Group::LifecyclePostStart => &self.lifecycle_post_start,
            Group::LifecyclePreStop => &self.lifecycle_pre_stop,
            Group::Cpu => &self.cpu,
            Group::Tags => &self.tags,
            Group::Registry => &self.registry,
            Group::TerminationGracePeriod => &self.termination_grace_period,
        }
    }

    fn texts_mut(&mut self, group: Group) -> &mut Texts {
        match group {
            Group::Values => &mut self.values,
            Group::Memory => &mut self.memory,
            Group::LifecyclePostStart => &mut self.lifecycle_post_start,
            Group::LifecyclePreStop => &mut self.lifecycle_pre_stop,
            Group::Cpu => &mut self.cpu,
            Group::Tags => &mut self.tags,
            Group::Registry => &mut self.registry,
            Group::TerminationGracePeriod => &mut self.termination_grace_period,
        }
    }

    /// The account to pull images with, if both name and password are set.
    pub fn registry_account(&self) -> Option<RegistryAccount> {
        Some(RegistryAccount {
            username: self.registry.get("username")?.clone(),
            password: self.registry.get("password")?.clone(),
            hostname: self.registry.get("hostname").cloned(),
        })
    }

    /// A variable that must be a whole number; validated when it was set.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.values.get(name)?.parse().ok()
    }

    /// A variable that must be a boolean; validated when it was set.
    pub fn bool_value(&self, name: &str) -> Option<bool> {
        crate::bool_text::bool_of_variable(self.values.get(name)?)
    }

    /// Message for tags that no node carries; `before` is the config before the change.
    pub fn no_node_matches(&self, before: &Self) -> String {
        let pairs = |tags: Vec<(&String, &String)>| {
            let pairs: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.join(", ")
        };
        let all = pairs(self.tags.iter().collect());
        let new = self.tags.iter().filter(|(key, value)| before.tags.get(*key) != Some(*value)).collect();
        if before.tags.is_empty() {
            format!("No nodes matched the provided labels: {all}")
        } else {
            format!("No nodes matched the provided labels: {all} - Addition of {} is the cause", pairs(new))
        }
    }
}

/// Names only: values are secrets.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for group in Group::ALL {
            map.entry(&group.name(), &self.texts(group).keys().collect::<Vec<_>>());
        }
        map.entry(&HEALTHCHECK, &self.healthcheck.keys().collect::<Vec<_>>()).finish()
    }
}
