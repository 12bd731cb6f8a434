//! Structure: how many replicas of each process type an app wants (api.md 5.1 and 5.2, 4.10).
//!
//! A structure belongs to a deploy, not to a release: rolling back does not bring it back.

use std::collections::BTreeMap;

use crate::build::{Build, Origin};
use crate::names::ProcessType;

/// Replicas per process type; a type that was once there stays, with 0.
pub type Structure = BTreeMap<ProcessType, u32>;

/// Most replicas of one process type: what is typed beyond it is a slip, not a wish.
pub const REPLICAS_MAX: u32 = 1000;

/// Why an app cannot be scaled as asked. The display text is what the API answers.
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

/// What a build runs when nobody has scaled the app yet.
pub fn default_structure(build: &Build) -> Structure {
    let one = |process| Structure::from([(process, 1)]);
    if build.procfile.contains_key(&ProcessType::web()) {
        return one(ProcessType::web());
    }
    match build.origin() {
        Origin::Image | Origin::Dockerfile => one(ProcessType::cmd()),
        Origin::Buildpack if build.procfile.is_empty() => one(ProcessType::web()),
        Origin::Buildpack => Structure::new(),
    }
}

/// The structure with which `build` is deployed after `previous`, the build of the last good release.
pub fn after_build(current: &Structure, previous: Option<&Build>, build: &Build) -> Structure {
    let mut next = current.clone();
    for removed in previous.into_iter().flat_map(|previous| removed_types(previous, build)) {
        next.insert(removed, 0);
    }
    if current.is_empty() {
        next.extend(default_structure(build));
    } else if previous.is_some_and(|previous| previous.origin() != build.origin()) {
        for routable in [ProcessType::web(), ProcessType::cmd()] {
            next.entry(routable).and_modify(|replicas| *replicas = 0);
        }
        next.extend(default_structure(build));
    }
    next
}

/// Process types of the old Procfile that the new one no longer has.
fn removed_types<'a>(previous: &'a Build, build: &'a Build) -> impl Iterator<Item = ProcessType> + 'a {
    previous.procfile.keys().filter(|process| !build.procfile.contains_key(*process)).cloned()
}

/// The structure after `wish`, or `None` where nothing would change.
pub fn scaled(
    current: &Structure,
    build: Option<&Build>,
    wish: &Structure,
) -> Result<Option<Structure>, ScaleError> {
    let build = build.ok_or(ScaleError::NoBuild)?;
    let is_known = |process: &ProcessType| *process == ProcessType::cmd() || runs(build, process);
    if let Some(unknown) = wish.keys().find(|process| !is_known(process)) {
        return Err(ScaleError::NoSuchType(unknown.to_string()));
    }
    if let Some((process, replicas)) = wish.iter().find(|(_, replicas)| **replicas > REPLICAS_MAX) {
        return Err(ScaleError::TooMany(process.clone(), *replicas));
    }
    let mut next = current.clone();
    next.extend(wish.clone());
    let differs = next.iter().any(|(process, replicas)| current.get(process).unwrap_or(&0) != replicas);
    Ok(differs.then_some(next))
}

/// A buildpack without a Procfile still has the `web` that it is started with.
fn runs(build: &Build, process: &ProcessType) -> bool {
    let has_default = build.procfile.is_empty() && build.origin() == Origin::Buildpack;
    *process != ProcessType::run()
        && (build.procfile.contains_key(process) || (has_default && *process == ProcessType::web()))
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
