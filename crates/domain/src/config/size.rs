//! Size limit of a config.

use super::{Config, ConfigError, Group, HEALTHCHECK};

/// Most bytes of names and values that an app's config has, all groups together.
pub const CONFIG_BYTES_MAX: usize = 64 << 10;

impl Config {
    /// Bytes of all names and values.
    pub fn size_bytes(&self) -> usize {
        let texts: usize = Group::ALL.into_iter().map(|group| self.group_bytes(group)).sum();
        texts + self.healthcheck_bytes()
    }

    /// Refuses to follow `before` where that makes too large a config. One that is too large already, from before
    /// there was a bound, may become smaller in steps.
    pub(super) fn check_growth(&self, before: &Self) -> Result<(), ConfigError> {
        let size_bytes = self.size_bytes();
        if size_bytes <= CONFIG_BYTES_MAX || size_bytes <= before.size_bytes() {
            return Ok(());
        }
        let texts = Group::ALL.map(|group| {
            let growth = self.group_bytes(group).saturating_sub(before.group_bytes(group));
            (growth, group.name())
        });
        let probes = (self.healthcheck_bytes().saturating_sub(before.healthcheck_bytes()), HEALTHCHECK);
        // The first of those that grow most.
        let grown = texts.into_iter().rev().chain([probes]).max_by_key(|(growth, _)| *growth);
        let field = grown.map_or("values", |(_, name)| name);
        let message = format!(
            "The app's config would be {size_bytes} bytes of names and values, but at most {CONFIG_BYTES_MAX} \
             (64 KiB) are kept. Unset what is not needed, or keep large values in a file of the app or a service"
        );
        Err(ConfigError::Invalid(vec![(field, message)]))
    }

    fn group_bytes(&self, group: Group) -> usize {
        self.texts(group).iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn healthcheck_bytes(&self) -> usize {
        let probes = |probes: &std::collections::BTreeMap<String, serde_json::Value>| -> usize {
            probes.iter().map(|(name, probe)| name.len() + probe.to_string().len()).sum()
        };
        self.healthcheck.iter().map(|(process, given)| process.len() + probes(given)).sum()
    }
}
