//! Releases: the immutable, numbered versions of an app.
//!
//! `git push`, `pull`, `config:set` and `rollback` all end here. A release is never edited; going back
//! means making a new release with the build and config of an old one (docs/spec/api.md 4.9).

use crate::build::Build;
use crate::config::{Config, ConfigError, ConfigPatch, Texts, changes};
use crate::structure::Formation;

/// State of an app when a change is decided: its newest release that has not failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Current<'a> {
    /// Highest number of all releases, failed ones included.
    pub newest_version: u64,
    /// Number of the newest release that has not failed.
    pub version: u64,
    /// Owner of that release.
    pub owner: &'a str,
    pub config: &'a Config,
    pub build: Option<&'a Build>,
    /// Id of that build.
    pub build_uuid: Option<&'a str>,
    /// Its process counts.
    pub formation: &'a Formation,
}

/// A change that makes the next release.
#[derive(Debug, Clone)]
pub enum ChangeRequest<'a> {
    /// A build was made, or an image was brought; this always makes a release.
    Built {
        build: Box<Build>,
        uuid: &'a str,
        rules: &'a ProcfileRules,
    },
    Configured {
        patch: &'a ConfigPatch,
        default_tags: &'a Texts,
    },
    /// The slug of the current build was put on newer images of its stack.
    Rebased {
        build: Box<Build>,
        /// Id of the build that it was before.
        of: &'a str,
    },
    /// The release to go back to was found by [`rollback_target`].
    RolledBack {
        target: RollbackTarget<'a>,
    },
}

/// Handling of a missing Procfile (docs/spec/api.md 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcfileRules {
    /// Refuses a build without a Procfile when the one before had one.
    pub reject_if_missing: bool,
    /// Lets such a build lose the process types; else it inherits them.
    pub remove_if_missing: bool,
}

/// A release to go back to.
#[derive(Debug, Clone, PartialEq)]
pub struct RollbackTarget<'a> {
    pub version: u64,
    pub failed: bool,
    pub build: Option<&'a Build>,
}

/// The decision: what to record.
#[derive(Debug, Clone, PartialEq)]
pub struct NextRelease {
    pub version: u64,
    pub summary: String,
    /// The summary that users see if it fails.
    pub summary_if_failed: String,
    /// A new config, where the change made one.
    pub config: Option<Config>,
    /// A new build, where the change brought one.
    pub build: Option<Build>,
    /// Process counts from now on; `None` without a build, as nothing is deployed then.
    pub formation: Option<Formation>,
}

/// A change that makes no release. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    #[error("{user} changed nothing - release stopped")]
    Unchanged { user: String },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "Last deployment had a Procfile but is missing in this deploy. For a successful deployment \
         provide a Procfile."
    )]
    ProcfileMissing,
    #[error("{user} rebased a build that is no longer the current one; try again")]
    NotCurrent { user: String },
    #[error("version cannot be below 0")]
    RollbackBelowFirst,
    #[error("Cannot roll back to initial release.")]
    RollbackToInitial,
    #[error("Cannot roll back to failed release.")]
    RollbackToFailed,
    #[error("Release matching query does not exist.")]
    NoSuchRelease,
}

/// Summary of an app's first release.
pub fn initial_summary(user: &str, config: &Config) -> String {
    let mut parts = vec!["created initial release".to_owned()];
    parts.extend(changes(&Config::default(), config));
    in_words(user, &parts)
}

/// Decides the release that follows `current` after `change`, made by `user`.
///
/// # Errors
///
/// [`ReleaseError::ProcfileMissing`] for a build, [`ReleaseError::Config`] or [`ReleaseError::Unchanged`] for a
/// config, [`ReleaseError::NotCurrent`] for a rebase, [`ReleaseError::RollbackToFailed`] for a rollback.
pub fn next_release(
    user: &str,
    current: &Current<'_>,
    change: ChangeRequest<'_>,
) -> Result<NextRelease, ReleaseError> {
    match change {
        ChangeRequest::Built { build, uuid, rules } => built(user, current, *build, uuid, *rules),
        ChangeRequest::Configured { patch, default_tags } => configured(user, current, patch, default_tags),
        ChangeRequest::Rebased { build, of } => rebased(user, current, *build, of),
        ChangeRequest::RolledBack { target } => rolled_back(user, current, &target),
    }
}

/// Version of the rollback target: the given number, or the release before the current one.
///
/// # Errors
///
/// [`ReleaseError::RollbackBelowFirst`] or [`ReleaseError::RollbackToInitial`].
pub fn rollback_target(current_version: u64, wanted: Option<i64>) -> Result<u64, ReleaseError> {
    let before = i64::try_from(current_version).unwrap_or(i64::MAX) - 1;
    match wanted.unwrap_or(before) {
        ..1 => Err(ReleaseError::RollbackBelowFirst),
        1 => Err(ReleaseError::RollbackToInitial),
        version => u64::try_from(version).map_err(|_| ReleaseError::NoSuchRelease),
    }
}

fn built(
    user: &str,
    current: &Current<'_>,
    mut build: Build,
    uuid: &str,
    rules: ProcfileRules,
) -> Result<NextRelease, ReleaseError> {
    let lost = current.build.filter(|last| build.procfile.is_empty() && !last.procfile.is_empty());
    if let Some(last) = lost {
        if rules.reject_if_missing {
            return Err(ReleaseError::ProcfileMissing);
        }
        if !rules.remove_if_missing {
            build.procfile = last.procfile.clone();
        }
    }
    let what = if build.sha.is_empty() { build.reference.as_str() } else { first(&build.sha, 7) };
    Ok(NextRelease {
        version: current.newest_version + 1,
        summary: format!("{user} deployed {what}"),
        summary_if_failed: format!("{user} deployed {} which failed", first(uuid, 7)),
        config: None,
        formation: Some(current.formation.after_build(current.build, &build)),
        build: Some(build),
    })
}

fn configured(
    user: &str,
    current: &Current<'_>,
    patch: &ConfigPatch,
    default_tags: &Texts,
) -> Result<NextRelease, ReleaseError> {
    let config = current.config.patched(patch, default_tags)?;
    let parts = changes(current.config, &config);
    if parts.is_empty() {
        return Err(ReleaseError::Unchanged { user: user.to_owned() });
    }
    Ok(NextRelease {
        version: current.newest_version + 1,
        summary: in_words(user, &parts),
        summary_if_failed: format!("{user} deployed a config that failed"),
        config: Some(config),
        build: None,
        formation: current.build.map(|_| current.formation.clone()),
    })
}

fn rebased(user: &str, current: &Current<'_>, build: Build, of: &str) -> Result<NextRelease, ReleaseError> {
    if current.build_uuid != Some(of) {
        return Err(ReleaseError::NotCurrent { user: user.to_owned() });
    }
    let stack = build.slug_stack().map(String::from).unwrap_or_default();
    let version = current.version;
    Ok(NextRelease {
        version: current.newest_version + 1,
        summary: format!("{user} rebased v{version} on the newest {stack}"),
        summary_if_failed: format!("{user} rebased v{version} on the newest {stack} which failed"),
        config: None,
        formation: Some(current.formation.clone()),
        build: Some(build),
    })
}

fn rolled_back(
    user: &str,
    current: &Current<'_>,
    target: &RollbackTarget<'_>,
) -> Result<NextRelease, ReleaseError> {
    if target.failed {
        return Err(ReleaseError::RollbackToFailed);
    }
    let formation = target.build.map(|build| current.formation.after_build(current.build, build));
    Ok(NextRelease {
        version: current.newest_version + 1,
        summary: format!("{user} rolled back to v{}", target.version),
        summary_if_failed: format!("{} performed roll back to a release that failed", current.owner),
        config: None,
        build: None,
        formation,
    })
}

/// Joins the parts of one change, each with the user's name.
fn in_words(user: &str, parts: &[String]) -> String {
    let parts: Vec<_> = parts.iter().map(|part| format!("{user} {part}")).collect();
    parts.join(" and ")
}

fn first(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests;
