//! Apps (docs/spec/api.md 4.5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub const APPS_PATH: &str = "/v2/apps";
pub const APP_PATH: &str = "/v2/apps/{app}";
pub const LOCK_PATH: &str = "/v2/apps/{app}/lock";

/// An app as the API returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct App {
    /// Id of the app; an app that is created again under the same name has another.
    pub uuid: String,
    /// Name of the app.
    pub id: String,
    pub owner: String,
    /// Replicas wanted per process type.
    #[serde(default)]
    pub structure: BTreeMap<String, u32>,
    pub created: String,
    pub updated: String,
    /// Absent if the app is not locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
}

/// Lock of an app, which is neither deployed, scaled nor destroyed while it is locked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Lock {
    /// User who locked it.
    pub user: String,
    pub since: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `POST …/lock/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewLock {
    /// One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub reason: Option<String>,
}

/// Body of `POST /v2/apps/`; without an id the platform makes one up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewApp {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Body of `POST /v2/apps/{app}/`: the new owner.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct AppChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub owner: Option<String>,
}
