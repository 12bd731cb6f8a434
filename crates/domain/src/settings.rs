//! App settings: how an app is reached and scaled, changed without a release (docs/spec/api.md 4.16).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bool_text::bool_or_null;
use crate::branch::DeployBranch;
use crate::build::BuildKind;
use crate::cnb::BuilderChoice;
use crate::edge::EdgeSettings;
use crate::names::ProcessType;
use crate::schema::{integer, object, required};
use crate::stacks::StackName;
use crate::structure::REPLICAS_MAX;
use crate::whitelist::{self, WhitelistError};

const AUTOSCALE: &str = "autoscale";
const BUILD_KIND: &str = "build_kind";
const BUILDER: &str = "builder";
/// Value of the API that ends a choice.
const AUTO: &str = "auto";
const GIT_BRANCH: &str = "git_branch";
const STACK: &str = "stack";
const LABEL: &str = "label";
const WHITELIST: &str = "whitelist";
/// Highest share of the requested CPU that a rule can aim at, in percent.
const CPU_PERCENT_MAX: u32 = 1000;
/// Longest text of all labels of an app together, as JSON, in bytes.
const LABEL_BYTES_MAX: usize = 64 * 1024;

/// All settings of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// Clients get the maintenance page.
    pub maintenance: bool,
    /// Clients can reach the app.
    pub routable: bool,
    /// Requests are logged in the app's log.
    pub access_log: bool,
    /// Networks of allowed clients; empty means everyone.
    pub whitelist: Vec<String>,
    pub autoscale: Autoscale,
    /// Notes of the users, of any kind.
    pub label: Map<String, Value>,
    /// The branch whose pushes deploy. `None` until one was deployed or chosen: then the one that was deployed last, as
    /// far as the builder knows it, else the first of [`crate::branch::FIRST_BRANCHES`] that is pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_branch: Option<DeployBranch>,
    /// Kind of the app's builds. `None` lets each push decide ([`crate::build_plan`]).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_kind: Option<BuildKind>,
    /// Stack of builds with buildpacks; `None` only for apps from before there was a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackName>,
    /// Builder of Cloud Native Buildpacks; one that was chosen builds each push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<BuilderChoice>,
}

impl AppSettings {
    /// Stack of the next build with buildpacks.
    pub fn stack(&self) -> StackName {
        self.stack.clone().unwrap_or_else(StackName::bookworm)
    }

    /// The part that the edge needs; `https_enforced` is a resource of its own.
    pub fn edge(&self, https_enforced: bool) -> EdgeSettings {
        let (maintenance, access_log) = (self.maintenance, self.access_log);
        EdgeSettings { maintenance, access_log, whitelist: self.whitelist.clone(), https_enforced }
    }
}

/// Rules by process type.
pub type Autoscale = BTreeMap<ProcessType, AutoscaleRule>;

/// Between `min` and `max` replicas, aiming at `cpu_percent` of the requested CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoscaleRule {
    pub min: u32,
    pub max: u32,
    pub cpu_percent: u32,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self {
            maintenance: false,
            routable: true,
            access_log: false,
            whitelist: Vec::new(),
            autoscale: Autoscale::new(),
            label: Map::new(),
            git_branch: None,
            build_kind: None,
            stack: None,
            builder: None,
        }
    }
}

/// The part of the settings that decides what runs, kept with each deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    pub routable: bool,
    pub autoscale: Autoscale,
    /// Process types that have a service, and so listen as `web` does.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<ProcessType>,
}

impl Default for RunSettings {
    fn default() -> Self {
        AppSettings::default().of_running(BTreeSet::new())
    }
}

/// A change requested by a user; each field is valid by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SettingsPatch {
    maintenance: Option<bool>,
    routable: Option<bool>,
    access_log: Option<bool>,
    whitelist: Option<Vec<String>>,
    autoscale: BTreeMap<ProcessType, Option<AutoscaleRule>>,
    label: Map<String, Value>,
    git_branch: Option<DeployBranch>,
    /// `Some(None)` ends a choice.
    build_kind: Option<Option<BuildKind>>,
    stack: Option<StackName>,
    /// `Some(None)` ends a choice.
    builder: Option<Option<BuilderChoice>>,
}

/// A change of the settings.
#[derive(Debug, Clone, Copy)]
pub enum SettingsChange<'a> {
    Patched(&'a SettingsPatch),
    /// These addresses join the whitelist.
    Admitted(&'a [String]),
    /// These addresses, all of them on the whitelist, leave it.
    Dismissed(&'a [String]),
}

/// A change of settings that was refused. The display text is the `detail` of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// All messages about all fields.
    #[error("settings are not valid: {}", .0.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<(&'static str, String)>),
    #[error("{key} does not exist under {group}")]
    NotSet { key: String, group: &'static str },
    #[error("min replicas needs to be 1 or higher")]
    MinTooLow,
    #[error("max replicas can not be smaller than min replicas")]
    MaxBelowMin,
    #[error("{user} changed nothing")]
    Unchanged { user: String },
    #[error(transparent)]
    Whitelist(#[from] WhitelistError),
}

impl AppSettings {
    /// The settings that follow `self` after `change` by `user`.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Unchanged`] where nothing would change, [`SettingsError::NotSet`] for a removal of what is
    /// not set, [`SettingsError::Whitelist`] for a whitelist that would be refused, [`SettingsError::Invalid`] for
    /// labels that are too large.
    pub fn changed(&self, user: &str, change: SettingsChange<'_>) -> Result<Self, SettingsError> {
        let next = match change {
            SettingsChange::Patched(patch) => self.patched(patch)?,
            SettingsChange::Admitted(addresses) => {
                let all = self.whitelist.iter().chain(addresses).cloned();
                Self { whitelist: whitelist::distinct(all)?, ..self.clone() }
            }
            SettingsChange::Dismissed(addresses) => {
                Self { whitelist: whitelist::without(&self.whitelist, addresses)?, ..self.clone() }
            }
        };
        if next == *self {
            return Err(SettingsError::Unchanged { user: user.to_owned() });
        }
        Ok(next)
    }

    fn patched(&self, patch: &SettingsPatch) -> Result<Self, SettingsError> {
        let SettingsPatch {
            maintenance,
            routable,
            access_log,
            whitelist,
            autoscale,
            label,
            git_branch,
            build_kind,
            stack,
            builder,
        } = patch;
        let mut next = self.clone();
        next.maintenance = maintenance.unwrap_or(self.maintenance);
        next.routable = routable.unwrap_or(self.routable);
        next.access_log = access_log.unwrap_or(self.access_log);
        next.build_kind = build_kind.unwrap_or(self.build_kind);
        if let Some(builder) = builder {
            next.builder.clone_from(builder);
        }
        if git_branch.is_some() {
            next.git_branch.clone_from(git_branch);
        }
        if let Some(stack) = stack
            && *stack != self.stack()
        {
            next.stack = Some(stack.clone());
        }
        if let Some(whitelist) = whitelist {
            next.whitelist.clone_from(whitelist);
        }
        for (process, rule) in autoscale {
            let not_set = || SettingsError::NotSet { key: process.to_string(), group: AUTOSCALE };
            match rule {
                Some(rule) => drop(next.autoscale.insert(process.clone(), *rule)),
                None => drop(next.autoscale.remove(process).ok_or_else(not_set)?),
            }
        }
        for (key, value) in label {
            let not_set = || SettingsError::NotSet { key: key.clone(), group: LABEL };
            match value {
                Value::Null => drop(next.label.shift_remove(key).ok_or_else(not_set)?),
                value => drop(next.label.insert(key.clone(), value.clone())),
            }
        }
        let bytes = Value::Object(next.label.clone()).to_string().len();
        if bytes > LABEL_BYTES_MAX {
            let fault = format!("labels take {bytes} bytes, more than the {LABEL_BYTES_MAX} allowed");
            return Err(SettingsError::Invalid(vec![(LABEL, fault)]));
        }
        Ok(next)
    }

    /// The part that decides what runs, in an app with these services.
    pub fn of_running(&self, services: BTreeSet<ProcessType>) -> RunSettings {
        let Self {
            maintenance: _,
            routable,
            access_log: _,
            whitelist: _,
            autoscale,
            label: _,
            git_branch: _,
            build_kind: _,
            stack: _,
            builder: _,
        } = self;
        RunSettings { routable: *routable, autoscale: autoscale.clone(), services }
    }
}

impl SettingsPatch {
    /// The stack that is chosen; the platform may have no such stack.
    pub fn stack(&self) -> Option<&StackName> {
        self.stack.as_ref()
    }

    /// Returns true if the platform's builder is chosen; the platform may have none.
    pub fn wants_default_builder(&self) -> bool {
        self.builder == Some(Some(BuilderChoice::Default))
    }

    /// Reads a patch as the API takes it; unknown members are ignored.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Invalid`] with all messages about all fields; [`SettingsError::MinTooLow`] or
    /// [`SettingsError::MaxBelowMin`] for an autoscale rule where all other fields are valid.
    pub fn parse(body: &Map<String, Value>) -> Result<Self, SettingsError> {
        let mut patch = Self::default();
        let mut faults = Vec::new();
        let switches = [
            ("maintenance", &mut patch.maintenance),
            ("routable", &mut patch.routable),
            ("access_log", &mut patch.access_log),
        ];
        for (name, field) in switches {
            match bool_or_null(body.get(name).unwrap_or(&Value::Null)) {
                Ok(value) => *field = value,
                Err(fault) => faults.push((name, fault)),
            }
        }
        match body.get(WHITELIST).map(parse_addresses) {
            None => {}
            Some(Ok(addresses)) => patch.whitelist = Some(addresses),
            Some(Err(fault)) => faults.push((WHITELIST, fault)),
        }
        match body.get(GIT_BRANCH) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => match DeployBranch::parse(text) {
                Ok(branch) => patch.git_branch = Some(branch),
                Err(error) => faults.push((GIT_BRANCH, error.to_string())),
            },
            Some(_) => faults.push((GIT_BRANCH, "Not a valid string.".to_owned())),
        }
        match body.get(BUILD_KIND) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text == AUTO => patch.build_kind = Some(None),
            Some(Value::String(text)) if BuildKind::parse(text).is_some() => {
                patch.build_kind = Some(BuildKind::parse(text));
            }
            Some(_) => {
                faults.push((
                    BUILD_KIND,
                    format!("use `buildpack`, `dockerfile`, `cnb`, or `{AUTO}` to let each push decide"),
                ));
            }
        }
        match body.get(STACK) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => match StackName::parse(text) {
                Ok(stack) => patch.stack = Some(stack),
                Err(error) => faults.push((STACK, error.to_string())),
            },
            Some(_) => faults.push((STACK, "Not a valid string.".to_owned())),
        }
        match body.get(BUILDER) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => patch.builder = Some(None),
            Some(Value::String(text)) => match BuilderChoice::parse(text) {
                Ok(builder) => patch.builder = Some(Some(builder)),
                Err(error) => faults.push((BUILDER, error.to_string())),
            },
            Some(_) => faults.push((BUILDER, "Not a valid string.".to_owned())),
        }
        match body.get(LABEL) {
            None => {}
            Some(Value::Object(label)) => patch.label = label.clone(),
            Some(other) => faults.push((LABEL, not_an_object(other))),
        }
        match body.get(AUTOSCALE) {
            None => {}
            Some(Value::Object(rules)) => match parse_rules(rules) {
                Ok(rules) => patch.autoscale = rules,
                Err(RuleFault::Field(fault)) => faults.push((AUTOSCALE, fault)),
                Err(RuleFault::Bounds(error)) if faults.is_empty() => return Err(error),
                Err(RuleFault::Bounds(_)) => {}
            },
            Some(other) => faults.push((AUTOSCALE, not_an_object(other))),
        }
        if faults.is_empty() { Ok(patch) } else { Err(SettingsError::Invalid(faults)) }
    }
}

/// Reads a list of addresses; the error is the text that the API answers.
pub fn parse_addresses(value: &Value) -> Result<Vec<String>, String> {
    let list = match value {
        Value::Array(list) => list,
        Value::Null => return Err("This field may not be null.".to_owned()),
        other => return Err(format!("Expected a list of items but got type \"{}\".", python_type(other))),
    };
    let mut addresses = Vec::with_capacity(list.len());
    for entry in list {
        let text = entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
        whitelist::check_address(&text).map_err(|error| error.to_string())?;
        addresses.push(text);
    }
    whitelist::distinct(addresses).map_err(|error| error.to_string())
}

enum RuleFault {
    Field(String),
    Bounds(SettingsError),
}

fn parse_rules(
    rules: &Map<String, Value>,
) -> Result<BTreeMap<ProcessType, Option<AutoscaleRule>>, RuleFault> {
    let mut read = BTreeMap::new();
    for (process, rule) in rules {
        let process = ProcessType::parse(process).map_err(|error| RuleFault::Field(error.to_string()))?;
        let rule = match rule {
            Value::Null => None,
            rule => Some(parse_rule(rule)?),
        };
        read.insert(process, rule);
    }
    Ok(read)
}

fn parse_rule(rule: &Value) -> Result<AutoscaleRule, RuleFault> {
    let number = |name, max: u32| -> Result<u32, String> {
        let value = required(object(rule)?, name)?;
        integer(value, max.into())?;
        Ok(value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(max))
    };
    let read = || -> Result<AutoscaleRule, String> {
        Ok(AutoscaleRule {
            min: number("min", REPLICAS_MAX)?,
            max: number("max", REPLICAS_MAX)?,
            cpu_percent: number("cpu_percent", CPU_PERCENT_MAX)?,
        })
    };
    let rule = read().map_err(|fault| RuleFault::Field(format!("could not validate {rule}: {fault}")))?;
    if rule.min < 1 {
        return Err(RuleFault::Bounds(SettingsError::MinTooLow));
    }
    if rule.max < rule.min {
        return Err(RuleFault::Bounds(SettingsError::MaxBelowMin));
    }
    if rule.cpu_percent < 1 {
        return Err(RuleFault::Field("cpu_percent needs to be 1 or higher".to_owned()));
    }
    Ok(rule)
}

fn not_an_object(value: &Value) -> String {
    match value {
        Value::Null => "This field may not be null.".to_owned(),
        other => format!("Expected a dictionary of items but got type \"{}\".", python_type(other)),
    }
}

/// Clients know these names from the original.
fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests;
