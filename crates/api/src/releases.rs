//! Releases (docs/spec/api.md 4.9).

use serde::{Deserialize, Serialize};

pub const RELEASES_PATH: &str = "/v2/apps/{app}/releases";
pub const RELEASE_PATH: &str = "/v2/apps/{app}/releases/{version}";
pub const SBOM_PATH: &str = "/v2/apps/{app}/releases/{version}/sbom";
pub const REBASE_PATH: &str = "/v2/apps/{app}/releases/rebase";
pub const ROLLBACK_PATH: &str = "/v2/apps/{app}/releases/rollback";

/// A release as the API returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Release {
    pub uuid: String,
    pub app: String,
    pub owner: String,
    pub created: String,
    pub updated: String,
    pub version: u64,
    pub summary: String,
    #[serde(default)]
    pub failed: bool,
    /// `error: <reason>` where `failed`.
    #[serde(default)]
    pub exception: Option<String>,
    /// Id of the config.
    pub config: String,
    /// Id of the build, if there is one.
    pub build: Option<String>,
    /// Steps of its deploy, where one release is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<DeployStep>>,
}

/// A step of a deploy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeployStep {
    /// `hold`: requests wait for the first replica; `start`: processes start; `shift`: requests go to them; `stop`:
    /// process types at 0 stop; `go_back`: the last good deploy runs again.
    pub name: String,
    pub began: String,
    /// Null while the step is under way.
    pub ended: Option<String>,
    /// `succeeded`, `failed`, or `superseded` by a newer deploy.
    pub outcome: Option<String>,
}

/// Body of `POST …/releases/rollback/`; without a version the one before the current.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Rollback {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// Answer to a rollback: the number of the new release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RolledBack {
    pub version: u64,
}

/// Answer to a rebase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Rebased {
    /// The stack that the app stands on.
    pub stack: String,
    /// Number of the new release; null where the app stands on the newest images already.
    pub version: Option<u64>,
}
