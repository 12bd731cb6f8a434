//! Plans: what one buildpack offers and needs, what a group agreed on, and what one buildpack has to supply.

use serde::{Deserialize, Serialize};

/// What a `bin/detect` writes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct BuildPlan {
    #[serde(flatten)]
    pub sections: PlanSections,
    #[serde(default)]
    pub or: Vec<PlanSections>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct PlanSections {
    #[serde(default)]
    pub provides: Vec<Provide>,
    #[serde(default)]
    pub requires: Vec<Require>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Provide {
    pub name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Require {
    pub name: String,
    /// Deprecated; belongs into the metadata.
    #[serde(default, skip_serializing)]
    pub version: Option<String>,
    #[serde(default)]
    pub metadata: toml::Table,
}

impl BuildPlan {
    /// The plan at the top, then those of `or`.
    pub fn alternatives(self) -> Vec<PlanSections> {
        let mut alternatives = vec![self.sections];
        alternatives.extend(self.or);
        alternatives
    }
}

/// `plan.toml`: what a group agreed on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    #[serde(default)]
    pub entries: Vec<PlanEntry>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanEntry {
    #[serde(default)]
    pub providers: Vec<Provider>,
    #[serde(default)]
    pub requires: Vec<Require>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    pub id: String,
    pub version: String,
}

/// What one buildpack has to supply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildpackPlan {
    #[serde(default)]
    pub entries: Vec<Require>,
}

impl PlanEntry {
    fn is_named(&self, name: &str) -> bool {
        self.requires.iter().any(|require| require.name == name)
    }
}

impl Plan {
    /// Entries that this buildpack promised to supply and nobody has supplied yet.
    pub fn of(&self, id: &str) -> BuildpackPlan {
        let offered = self.entries.iter().filter(|entry| entry.providers.iter().any(|it| it.id == id));
        let required = offered.flat_map(|entry| &entry.requires).cloned();
        BuildpackPlan { entries: required.map(with_version).collect() }
    }

    /// The plan after this buildpack: what it supplied is gone, what it left unmet stays for the next provider.
    pub fn after(self, id: &str, unmet: &[String]) -> Self {
        let entries = self.entries.into_iter().filter_map(|mut entry| {
            let is_unmet = unmet.iter().any(|name| entry.is_named(name));
            let providers = entry.providers.len();
            entry.providers.retain(|provider| provider.id != id);
            let was_mine = entry.providers.len() < providers;
            (!was_mine || is_unmet).then_some(entry)
        });
        Self { entries: entries.collect() }
    }
}

fn with_version(mut require: Require) -> Require {
    if let Some(version) = require.version.take() {
        require.metadata.entry("version").or_insert(version.into());
    }
    require
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let text = r#"
            [[entries]]
            providers = [{ id = "a", version = "1" }, { id = "b", version = "1" }]
            requires = [{ name = "node", version = "22", metadata = { launch = true } }]
            [[entries]]
            providers = [{ id = "b", version = "1" }]
            requires = [{ name = "npm" }]
        "#;
        toml::from_str(text).expect("a plan")
    }

    fn names(plan: &BuildpackPlan) -> Vec<&str> {
        plan.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn a_met_entry_is_not_offered_to_the_next_buildpack() {
        assert_eq!(names(&plan().of("a")), ["node"]);
        assert_eq!(names(&plan().after("a", &[]).of("b")), ["npm"]);
    }

    #[test]
    fn an_unmet_entry_is() {
        assert_eq!(names(&plan().after("a", &["node".to_owned()]).of("b")), ["node", "npm"]);
    }

    #[test]
    fn the_deprecated_version_becomes_metadata() {
        let metadata = &plan().of("a").entries[0].metadata;

        assert_eq!((metadata["version"].as_str(), metadata["launch"].as_bool()), (Some("22"), Some(true)));
    }
}
