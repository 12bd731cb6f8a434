//! Hooks of the builder, on an internal listener with a key of its own (docs/spec/api.md 4.20).
//!
//! Unlike the original's hooks they look up whole keys and check access to exactly one app, and a build's `image` is the
//! pinned image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub const KEY_PATH: &str = "/v2/hooks/key";
pub const ACCESS_PATH: &str = "/v2/hooks/access";
pub const CONFIG_PATH: &str = "/v2/hooks/config";
pub const BUILD_PATH: &str = "/v2/hooks/build";
pub const APPS_PATH: &str = "/v2/hooks/apps";
pub const REBASE_PATH: &str = "/v2/hooks/rebase";

/// Header that carries the builder's key.
pub const BUILDER_AUTH_HEADER: &str = "X-Deis-Builder-Auth";

/// Body of `POST /v2/hooks/key/`: whose key is this?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyQuestion {
    /// The key as in an authorized_keys line: type, blank, base64.
    pub public: String,
}

/// Answer: the owner of the key. 404 where nobody has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct KeyOwner {
    pub username: String,
}

/// Body of `POST /v2/hooks/access/`: may this user push to and clone exactly this app?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AccessQuestion {
    pub receive_user: String,
    pub receive_repo: String,
}

/// Answer to [`AccessQuestion`]: 200 with this; 403 or 404 else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RepositoryAccess {
    pub app: String,
    /// Id of the app: an app that was destroyed and made again under its name shares no repository with the old one.
    #[serde(default)]
    pub uuid: String,
    /// The branch whose pushes deploy, `*` for any; `None` until one was deployed or chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Kind of the app's builds, `buildpack`, `dockerfile` or `cnb`, where one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_kind: Option<String>,
    /// Stack of the next build with buildpacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// Builder of Cloud Native Buildpacks that was chosen, and that of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_builder: Option<String>,
}

/// Body of `POST /v2/hooks/config/`; the answer is [`crate::config::Config`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ConfigQuestion {
    pub receive_user: String,
    pub receive_repo: String,
}

/// Body of `POST /v2/hooks/build/`: a build that is done and wants to be released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BuildDone {
    pub receive_user: String,
    pub receive_repo: String,
    /// First eight characters of the commit.
    pub sha: String,
    /// Digest of the image, `sha256:<64 hex>`.
    pub image: String,
    /// Process types and their commands.
    pub procfile: BTreeMap<String, String>,
    /// `"true"` for a Dockerfile build, else empty.
    pub dockerfile: String,
    /// Exposed TCP ports of the image.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Process types that have an image of their own, or the command of an image.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, ProcessImage>,
    /// The branch that was pushed; an app that has no deploy branch keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Stack of a build with buildpacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// Half a sentence that says why the source was built in this way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Made by Cloud Native Buildpacks: process types that the image has; the Procfile's commands have precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_processes: Option<Vec<String>>,
}

/// Body of `POST /v2/hooks/rebase/`: put an app on the newest images of this stack, if it stands on that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RebaseWanted {
    pub app: String,
    pub stack: String,
    /// Changes nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Answer to [`RebaseWanted`], given when the deploy has succeeded; 400 with a detail when it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RebaseOutcome {
    pub outcome: RebaseResult,
    /// Number of the new release.
    #[serde(default)]
    pub version: Option<u64>,
}

/// Result of a rebase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RebaseResult {
    /// There is a new release.
    Rebased,
    /// It stands on the newest images.
    Current,
    /// It stands on the stack; nothing else was looked at.
    OnStack,
    /// It does not stand on the stack.
    Elsewhere,
}

/// Image of a process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ProcessImage {
    /// Digest, `sha256:<64 hex>`.
    pub image: String,
    /// Exposed TCP ports of the image.
    #[serde(default)]
    pub ports: Vec<u16>,
}

/// Answer to [`BuildDone`], given when the deploy has succeeded; 400 with a detail when it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BuildOutcome {
    pub release: ReleasedVersion,
    /// Warning for the pusher of a successful deploy after which nothing serves the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// The release that a build became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReleasedVersion {
    pub version: u64,
}

/// Answer of `GET /v2/hooks/apps/`: every app there is, so that the builder can drop what belongs to none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Apps {
    pub apps: Vec<String>,
}
