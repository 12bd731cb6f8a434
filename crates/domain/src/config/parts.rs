//! Parts of a config, so that configs which have most in common can share it where they are kept.
//!
//! Each entry has its part by the hash of its name, so changing one entry changes one part.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Config;

/// A config of fewer bytes (as JSON) is one part.
const WHOLE_BYTES_MAX: usize = 2 << 10;
/// Most parts of a config: a change of a config of 64 KiB makes some 2 KiB new.
pub const PARTS_MAX: usize = 32;

impl Config {
    /// Its parts as JSON, in an order that is always the same; one where the config is small.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        let whole = serde_json::to_value(self).expect("a config has text keys only, so it is valid JSON");
        let text = whole.to_string().into_bytes();
        let Value::Object(groups) = whole else { return vec![text] };
        if text.len() < WHOLE_BYTES_MAX {
            return vec![text];
        }
        let mut parts = vec![Map::new(); PARTS_MAX];
        for (group, entries) in groups {
            let Value::Object(entries) = entries else { continue };
            for (name, value) in entries {
                let part = parts[part_of(&group, &name)].entry(group.as_str());
                if let Value::Object(part) = part.or_insert_with(|| Map::new().into()) {
                    part.insert(name, value);
                }
            }
        }
        let filled = parts.into_iter().filter(|part| !part.is_empty());
        filled.map(|part| Value::from(part).to_string().into_bytes()).collect()
    }

    /// The config that has these parts.
    pub fn from_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> serde_json::Result<Self> {
        let mut config = Self::default();
        for part in parts {
            config.add(serde_json::from_slice(part)?);
        }
        Ok(config)
    }

    fn add(&mut self, part: Self) {
        let Self {
            values,
            memory,
            lifecycle_post_start,
            lifecycle_pre_stop,
            cpu,
            tags,
            registry,
            healthcheck,
            termination_grace_period,
        } = part;
        self.values.extend(values);
        self.memory.extend(memory);
        self.lifecycle_post_start.extend(lifecycle_post_start);
        self.lifecycle_pre_stop.extend(lifecycle_pre_stop);
        self.cpu.extend(cpu);
        self.tags.extend(tags);
        self.registry.extend(registry);
        self.healthcheck.extend(healthcheck);
        self.termination_grace_period.extend(termination_grace_period);
    }
}

fn part_of(group: &str, name: &str) -> usize {
    let hash = Sha256::new().chain_update(group).chain_update([0]).chain_update(name).finalize();
    usize::from(hash[0]) % PARTS_MAX
}
