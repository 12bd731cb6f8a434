//! Patches: what a user wants changed, and the config that follows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Config, ConfigError, Group, HEALTHCHECK, Texts, validation};

/// A change of a config; `None` removes. Everything in it is valid by itself.
#[derive(Clone, Default, PartialEq)]
pub struct ConfigPatch {
    pub(super) texts: BTreeMap<Group, BTreeMap<String, Option<String>>>,
    pub(super) healthcheck: BTreeMap<String, Option<BTreeMap<String, Option<Value>>>>,
}

const NOT_NULL: &str = "This field may not be null.";
const NOT_AN_OBJECT: &str = "Expected an object, or a string that holds a JSON object.";

impl ConfigPatch {
    /// Reads a patch as the API takes it: an object of groups; unknown members are ignored.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with all messages about all groups.
    pub fn parse(body: &Map<String, Value>) -> Result<Self, ConfigError> {
        let mut patch = Self::default();
        let mut faults = Vec::new();
        for group in Group::ALL {
            match group_object(body, group.name()) {
                Ok(Some(entries)) => {
                    patch.texts.insert(group, text_entries(group, entries, &mut faults));
                }
                Ok(None) => {}
                Err(fault) => faults.push((group.name(), fault)),
            }
        }
        match group_object(body, HEALTHCHECK) {
            Ok(Some(types)) => patch.healthcheck = probe_entries(types, &mut faults),
            Ok(None) => {}
            Err(fault) => faults.push((HEALTHCHECK, fault)),
        }
        if faults.is_empty() { Ok(patch) } else { Err(ConfigError::Invalid(faults)) }
    }
}

impl Config {
    /// The config that follows `self` after `patch`. `default_tags` are set where no tag is left.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotSet`] for a removal of what is not set, which is 422 in the API;
    /// [`ConfigError::RegistryWithoutPort`] for an account at a registry without `PORT`; [`ConfigError::Invalid`]
    /// for a config that is too large.
    pub fn patched(&self, patch: &ConfigPatch, default_tags: &Texts) -> Result<Self, ConfigError> {
        let mut next = self.clone();
        for (group, entries) in &patch.texts {
            merge_texts(*group, next.texts_mut(*group), entries)?;
        }
        merge_probes(&mut next.healthcheck, &patch.healthcheck)?;
        next.migrate_healthcheck_variables();
        if next.tags.is_empty() {
            next.tags = default_tags.clone();
        }
        if !next.registry.is_empty() && !next.values.contains_key("PORT") {
            return Err(ConfigError::RegistryWithoutPort);
        }
        next.check_growth(self)?;
        Ok(next)
    }

    /// Turns `HEALTHCHECK_URL` and its companions into the group `web/cmd` (docs/spec/api.md 4.7).
    fn migrate_healthcheck_variables(&mut self) {
        let Some(path) = self.values.get("HEALTHCHECK_URL").cloned() else { return };
        let number = |name: &str, default| self.number(name).unwrap_or(default);
        let probe = json!({
            "initialDelaySeconds": number("HEALTHCHECK_INITIAL_DELAY", 50),
            "timeoutSeconds": number("HEALTHCHECK_TIMEOUT", 50),
            "periodSeconds": number("HEALTHCHECK_PERIOD_SECONDS", 10),
            "successThreshold": number("HEALTHCHECK_SUCCESS_THRESHOLD", 1),
            "failureThreshold": number("HEALTHCHECK_FAILURE_THRESHOLD", 3),
            "httpGet": {"path": path},
        });
        let probes = ["livenessProbe", "readinessProbe"].map(|name| (name.to_owned(), probe.clone()));
        self.healthcheck.insert(super::PROBES_OF_ROUTABLE.to_owned(), probes.into());
        self.values.retain(|name, _| !name.starts_with("HEALTHCHECK_"));
    }
}

/// The object of a group: as it is, or as a text that holds one.
fn group_object(body: &Map<String, Value>, name: &str) -> Result<Option<Map<String, Value>>, String> {
    match body.get(name) {
        None => Ok(None),
        Some(Value::Object(entries)) => Ok(Some(entries.clone())),
        Some(Value::Null) => Err(NOT_NULL.to_owned()),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(Value::Object(entries)) => Ok(Some(entries)),
            _ => Err(NOT_AN_OBJECT.to_owned()),
        },
        Some(_) => Err(NOT_AN_OBJECT.to_owned()),
    }
}

fn text_entries(
    group: Group,
    entries: Map<String, Value>,
    faults: &mut Vec<(&'static str, String)>,
) -> BTreeMap<String, Option<String>> {
    let mut read = BTreeMap::new();
    for (key, value) in entries {
        let text = text_of(value);
        if let Some(text) = &text {
            let found = validation::check(group, &key, text);
            faults.extend(found.err().map(|fault| (group.name(), fault)));
        }
        let key = if group == Group::Registry { key.to_lowercase() } else { key };
        read.insert(key, text);
    }
    read
}

/// Stored text of a JSON value, `None` for null. Booleans are written as in the original.
fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        other => Some(other.to_string()),
    }
}

fn probe_entries(
    types: Map<String, Value>,
    faults: &mut Vec<(&'static str, String)>,
) -> BTreeMap<String, Option<BTreeMap<String, Option<Value>>>> {
    let mut read = BTreeMap::new();
    for (process, probes) in types {
        let probes = match probes {
            Value::Null => None,
            Value::Object(probes) => Some(probes),
            other => {
                let fault = format!("could not validate {other}: {other} is not of type 'object'");
                faults.push((HEALTHCHECK, fault));
                continue;
            }
        };
        for (name, probe) in probes.iter().flatten() {
            let found = super::probes::check(name, probe);
            faults.extend(found.err().map(|fault| (HEALTHCHECK, fault)));
        }
        let or_none = |probe: Value| (!probe.is_null()).then_some(probe);
        let probes =
            probes.map(|each| each.into_iter().map(|(name, probe)| (name, or_none(probe))).collect());
        read.insert(process, probes);
    }
    read
}

fn merge_texts(
    group: Group,
    texts: &mut Texts,
    entries: &BTreeMap<String, Option<String>>,
) -> Result<(), ConfigError> {
    for (key, value) in entries {
        match value {
            Some(value) => {
                texts.insert(key.clone(), value.clone());
            }
            None if texts.remove(key).is_none() => {
                return Err(ConfigError::NotSet { key: key.clone(), group: group.name() });
            }
            None => {}
        }
    }
    Ok(())
}

/// Merges per type and per probe; a probe is replaced whole.
fn merge_probes(
    healthcheck: &mut super::Healthchecks,
    patch: &BTreeMap<String, Option<BTreeMap<String, Option<Value>>>>,
) -> Result<(), ConfigError> {
    for (process, probes) in patch {
        let not_set = || ConfigError::NotSet { key: process.clone(), group: HEALTHCHECK };
        let Some(probes) = probes else {
            healthcheck.remove(process).ok_or_else(not_set)?;
            continue;
        };
        for (name, probe) in probes {
            let Some(probe) = probe else {
                let kept = healthcheck.get_mut(process).ok_or_else(not_set)?;
                kept.remove(name).ok_or_else(not_set)?;
                continue;
            };
            healthcheck.entry(process.clone()).or_default().insert(name.clone(), probe.clone());
        }
        healthcheck.entry(process.clone()).or_default();
    }
    Ok(())
}

/// Names only: values are secrets.
impl std::fmt::Debug for ConfigPatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |entries: &BTreeMap<String, Option<String>>| entries.keys().cloned().collect::<Vec<_>>();
        f.debug_map()
            .entries(self.texts.iter().map(|(group, entries)| (group.name(), names(entries))))
            .entry(&HEALTHCHECK, &self.healthcheck.keys().collect::<Vec<_>>())
            .finish()
    }
}
