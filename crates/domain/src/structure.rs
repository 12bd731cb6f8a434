//! Structure: how many replicas of each process type an app wants (docs/spec/api.md 5.1 and 5.2, 4.10).
//!
//! A structure belongs to a deploy, not to a release: rolling back does not bring it back.

use std::collections::BTreeMap;

use crate::build::Build;
use crate::names::ProcessType;
use crate::settings::RunSettings;

/// Replicas per process type; a type that was once there stays, with 0.
pub type Structure = BTreeMap<ProcessType, u32>;

/// Most replicas of one process type: a higher number is a typing error.
pub const REPLICAS_MAX: u32 = 1000;

/// A scale that was refused. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScaleError {
    #[error("No build associated with this release")]
    NoBuild,
    #[error("Container type {0} does not exist in application")]
    NoSuchType(String),
    #[error(
        "Invalid scaling format: {0}={1} is more than the {REPLICAS_MAX} replicas that a process type may have"
    )]
    TooMany(ProcessType, u32),
}

/// Process counts of an app, and the counts kept for process types that its build lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formation {
    /// Replicas wanted now.
    pub structure: Structure,
    /// The counts that users chose, and the first default: a type that goes away keeps its count here, so that it
    /// runs again when it comes back. What the platform started in place of another type is not in it.
    pub chosen: Structure,
}

impl Formation {
    /// The formation with which `build` is deployed after `previous`, the build of the last good release.
    ///
    /// A type that stays keeps its count, 0 included. One that goes is set to 0, one that comes back runs with its
    /// last count. Where no `web` or `cmd` of the build has a count, the one that serves by default runs once.
    /// A build of another origin starts that one over with one replica (docs/spec/api.md 5.1).
    pub fn after_build(&self, previous: Option<&Build>, build: &Build) -> Self {
        let is_other_origin = previous.is_some_and(|previous| previous.origin != build.origin);
        let had = |process: &ProcessType| previous.is_some_and(|previous| runs(previous, process));
        let has = |process: &ProcessType| {
            let is_kept_cmd = *process == ProcessType::cmd() && !is_other_origin && self.is_running(process);
            runs(build, process) || is_kept_cmd
        };
        let default = default_type(build);

        let mut chosen = self.chosen.clone();
        // A routable type was stopped for its own sake only while the app had it.
        chosen.retain(|process, count| *count > 0 || !process.is_routable() || !has(process) || had(process));
        if is_other_origin {
            let is_over = |process: &ProcessType| process.is_routable() && had(process) && has(process);
            chosen.retain(|process, count| {
                *count == 0 || !is_over(process) || default.as_ref() == Some(process)
            });
            let restarted = default.as_ref().filter(|process| is_over(process));
            if let Some(count) = restarted.and_then(|process| chosen.get_mut(process)) {
                *count = (*count).min(1);
            }
        }
        let has_routable = chosen.keys().any(|process| process.is_routable() && has(process));
        let is_missing =
            |process: &ProcessType| !chosen.contains_key(process) && (is_other_origin || !has_routable);
        let started = default.filter(is_missing);
        if let Some(process) = started.as_ref().filter(|_| previous.is_none() || is_other_origin) {
            chosen.insert(process.clone(), 1);
        }

        let removed = previous.into_iter().flat_map(|previous| removed_types(previous, build));
        let known = self.structure.keys().chain(chosen.keys()).cloned().chain(removed).chain(started.clone());
        let count = |process: &ProcessType| match chosen.get(process) {
            Some(count) if has(process) => *count,
            None if started.as_ref() == Some(process) => 1,
            _ => 0,
        };
        let structure = known.map(|process| (process.clone(), count(&process))).collect();
        Self { structure, chosen }
    }

    /// The formation after `change`, or `None` where nothing would change.
    ///
    /// # Errors
    ///
    /// [`ScaleError::NoBuild`], [`ScaleError::NoSuchType`] for a type that the build lacks,
    /// [`ScaleError::TooMany`] above [`REPLICAS_MAX`].
    pub fn scaled(&self, build: Option<&Build>, change: &Structure) -> Result<Option<Self>, ScaleError> {
        let build = build.ok_or(ScaleError::NoBuild)?;
        let is_known = |process: &ProcessType| *process == ProcessType::cmd() || runs(build, process);
        if let Some(unknown) = change.keys().find(|process| !is_known(process)) {
            return Err(ScaleError::NoSuchType(unknown.to_string()));
        }
        if let Some((process, replicas)) = change.iter().find(|(_, replicas)| **replicas > REPLICAS_MAX) {
            return Err(ScaleError::TooMany(process.clone(), *replicas));
        }
        let mut next = self.clone();
        next.structure.extend(change.clone());
        next.chosen.extend(change.clone());
        let count = |process| self.structure.get(process).unwrap_or(&0);
        let differs = next.structure.iter().any(|(process, replicas)| count(process) != replicas);
        Ok(differs.then_some(next))
    }

    fn is_running(&self, process: &ProcessType) -> bool {
        self.structure.get(process).is_some_and(|count| *count > 0)
    }
}

/// The type of a build that serves by default; `None` where the Procfile of a buildpack app has no `web`.
fn default_type(build: &Build) -> Option<ProcessType> {
    [ProcessType::web(), ProcessType::cmd()].into_iter().find(|process| runs(build, process))
}

/// Process types of the old build that the new one no longer has.
fn removed_types<'a>(previous: &'a Build, build: &'a Build) -> impl Iterator<Item = ProcessType> + 'a {
    previous.procfile.keys().filter(|process| !runs(build, process)).cloned()
}

/// Returns true if a build has a process type: from its Procfile, `web` of an image that knows process types and has no
/// Procfile, and `cmd`, the command of any other image.
fn runs(build: &Build, process: &ProcessType) -> bool {
    let knows_types = build.launch.prefix.is_some();
    let is_default = (*process == ProcessType::web() && knows_types && build.procfile.is_empty())
        || (*process == ProcessType::cmd() && !knows_types);
    *process != ProcessType::run() && (build.procfile.contains_key(process) || is_default)
}

/// Warning that nothing serves an app with this build, and the fix; `None` if a process serves it or routing is
/// off.
pub fn nobody_serves(build: &Build, structure: &Structure, run: &RunSettings) -> Option<String> {
    let serves = |process: &ProcessType| process.is_routable() || run.services.contains(process);
    let mut running = structure.iter().filter(|(_, count)| **count > 0);
    if !run.routable || running.any(|(process, _)| serves(process)) {
        return None;
    }
    Some(match default_type(build) {
        Some(process) => {
            format!(
                "nothing serves this app: {process} is scaled to 0; start it with `deis scale {process}=1`"
            )
        }
        None => {
            let types: Vec<_> = build.procfile.keys().map(ProcessType::as_str).collect();
            format!(
                "nothing serves this app: its Procfile has no `web`, only {}; requests get 503 until one is pushed (or turn them off with `deis routing:disable`)",
                types.join(", ")
            )
        }
    })
}

/// The process type that gets the app's requests: `web` before `cmd`, one that runs before one that
/// rests. `None` where the app has neither.
pub fn routing_target(structure: &Structure) -> Option<ProcessType> {
    let candidates = [ProcessType::web(), ProcessType::cmd()];
    let running = candidates.iter().find(|process| structure.get(*process).is_some_and(|count| *count > 0));
    running.or_else(|| candidates.iter().find(|process| structure.contains_key(*process))).cloned()
}

/// `web=2 worker=0`, as log lines show it.
pub fn in_words(structure: &Structure) -> String {
    let parts: Vec<_> = structure.iter().map(|(process, replicas)| format!("{process}={replicas}")).collect();
    parts.join(" ")
}

#[cfg(test)]
pub(crate) mod tests;
