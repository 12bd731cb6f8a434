//! Changes of an app that make a release or a scale, each decided and recorded in one write.
//!
//! The decision is a pure function of `domain`; it is called inside the write, so that two changes at
//! the same time build on one another and neither gets lost.

use domain::AppName;
use domain::build::Build;
use domain::config::{ConfigPatch, Texts};
use domain::release::{
    ChangeRequest, Current, NextRelease, ProcfileRules, ReleaseError, RollbackTarget, next_release,
    rollback_target,
};
use domain::settings::SettingsError;
use domain::structure::{Formation, ScaleError, Structure};
use domain::tls::TlsError;
use jiff::Timestamp;
use sqlx::AnyConnection;

use crate::releases::NewRelease;
use crate::{
    BuildRecord, ConfigRecord, DeployKind, ReleaseContent, ReleaseRecord, Store, StoreError, apps, builds,
    configs, deploys, releases, rows,
};

/// The change that makes the next release.
#[derive(Debug, Clone)]
pub enum ReleaseChange<'a> {
    Built {
        build: Box<Build>,
        rules: ProcfileRules,
    },
    Configured {
        patch: &'a ConfigPatch,
        default_tags: &'a Texts,
    },
    /// Of the current build, named by its id.
    Rebased {
        build: Box<Build>,
        of: &'a str,
    },
    /// Without a version, back to the one before the current.
    RolledBack {
        version: Option<i64>,
    },
}

/// A change as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedChange {
    pub release: ReleaseRecord,
    /// Its deploy, to wait for; `None` where there is nothing to run yet.
    pub deploy: Option<i64>,
    /// The new config, where the change made one.
    pub config: Option<ConfigRecord>,
    /// The new build, where the change brought one.
    pub build: Option<BuildRecord>,
}

/// A change that was not recorded: the database failed, or `domain` refused the change.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The database failed, or has no such app.
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Scale(#[from] ScaleError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Makes the next release of an app and, where there is a build, the deploy that carries it out.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Store`] with [`StoreError::NotFound`] for an app that does not exist or is being removed, with
    /// [`StoreError::Locked`] for one that is locked;
    /// [`ChangeError::Release`] for a change that `domain` refuses, or that changes nothing.
    pub async fn add_release(
        &self,
        app: &AppName,
        owner: &str,
        change: ReleaseChange<'_>,
        now: Timestamp,
    ) -> Result<RecordedChange, ChangeError> {
        let mut write = self.write().await?;
        apps::must_be_unlocked(app, &mut write).await?;
        let current = releases::current(app, &mut write).await?;
        let current = releases::content(self, current, &mut write).await?;
        let formation = deploys::formation(app, &mut write).await?;
        let newest_version = releases::newest_version(app, &mut write).await?;
        let base = basis(&current, &formation, newest_version);
        let build_uuid = rows::new_uuid();
        let (next, kept) = match change {
            ReleaseChange::Built { build, rules } => {
                let change = ChangeRequest::Built { build, uuid: &build_uuid, rules: &rules };
                (next_release(owner, &base, change)?, &current.release)
            }
            ReleaseChange::Configured { patch, default_tags } => {
                let change = ChangeRequest::Configured { patch, default_tags };
                (next_release(owner, &base, change)?, &current.release)
            }
            ReleaseChange::Rebased { build, of } => {
                (next_release(owner, &base, ChangeRequest::Rebased { build, of })?, &current.release)
            }
            ReleaseChange::RolledBack { version } => {
                let target = rollback_content(self, app, base.version, version, &mut write).await?;
                let change = ChangeRequest::RolledBack { target: as_target(&target) };
                (next_release(owner, &base, change)?, &target.release.clone())
            }
        };
        let by = ChangeContext { store: self, app, owner, now };
        let recorded = by.record(next, kept, build_uuid, &mut write).await?;
        write.commit().await?;
        Ok(recorded)
    }

    /// Scales an app; `None` where that changes nothing.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Store`] with [`StoreError::NotFound`] for an app that does not exist or is being removed, with
    /// [`StoreError::Locked`] for one that is locked;
    /// [`ChangeError::Scale`] for counts that `domain` refuses.
    pub async fn add_scale(
        &self,
        app: &AppName,
        replicas: &Structure,
        now: Timestamp,
    ) -> Result<Option<i64>, ChangeError> {
        let mut write = self.write().await?;
        apps::must_be_unlocked(app, &mut write).await?;
        let current = releases::current(app, &mut write).await?;
        let build = builds::find(current.build.as_deref(), &mut write).await?;
        let formation = deploys::formation(app, &mut write).await?;
        let Some(formation) = formation.scaled(build.as_ref().map(|record| &record.build), replicas)? else {
            return Ok(None);
        };
        let kind = DeployKind::Scale;
        let id = deploys::insert(app, current.version, &formation, kind, now, &mut write).await?;
        apps::touch(app, now, &mut write).await?;
        write.commit().await?;
        Ok(Some(id))
    }
}

fn basis<'a>(current: &'a ReleaseContent, formation: &'a Formation, newest_version: u64) -> Current<'a> {
    Current {
        newest_version,
        version: current.release.version,
        owner: &current.release.owner,
        config: &current.config.config,
        build: current.build.as_ref().map(|record| &record.build),
        build_uuid: current.build.as_ref().map(|record| record.uuid.as_str()),
        formation,
    }
}

fn as_target(target: &ReleaseContent) -> RollbackTarget<'_> {
    RollbackTarget {
        version: target.release.version,
        failed: target.release.failed,
        build: target.build.as_ref().map(|record| &record.build),
    }
}

async fn rollback_content(
    store: &Store,
    app: &AppName,
    current: u64,
    wanted: Option<i64>,
    connection: &mut AnyConnection,
) -> Result<ReleaseContent, ChangeError> {
    let version = rollback_target(current, wanted)?;
    let found = releases::find(app, version, connection).await?;
    let release = found.ok_or(ReleaseError::NoSuchRelease)?;
    Ok(releases::content(store, release, connection).await?)
}

/// User, app and time of a change.
pub(crate) struct ChangeContext<'a> {
    pub(crate) store: &'a Store,
    pub(crate) app: &'a AppName,
    pub(crate) owner: &'a str,
    pub(crate) now: Timestamp,
}

impl ChangeContext<'_> {
    /// Writes down a decision; `kept` is the release whose config and build stay where none are new.
    async fn record(
        &self,
        next: NextRelease,
        kept: &ReleaseRecord,
        build_uuid: String,
        write: &mut AnyConnection,
    ) -> Result<RecordedChange, StoreError> {
        let Self { store, app, owner, now } = *self;
        let NextRelease { version, summary, summary_if_failed, config, build, formation } = next;
        let config = match config {
            Some(config) => Some(configs::insert(store, app, owner, config, now, write).await?),
            None => None,
        };
        let build = match build {
            Some(build) => Some(builds::insert(build_uuid, app, owner, build, now, write).await?),
            None => None,
        };
        let release = NewRelease {
            version,
            config: config.as_ref().map_or_else(|| kept.config.clone(), |record| record.uuid.clone()),
            build: build.as_ref().map(|record| record.uuid.clone()).or_else(|| kept.build.clone()),
            summary,
            summary_if_failed,
        };
        let release = releases::insert(app, owner, release, now, write).await?;
        let deploy = match formation {
            Some(formation) => {
                Some(deploys::insert(app, version, &formation, DeployKind::Release, now, write).await?)
            }
            None => None,
        };
        apps::touch(app, now, write).await?;
        Ok(RecordedChange { release, deploy, config, build })
    }
}
