//! Services: paths of an app that go to another process type (docs/spec/api.md 4.19).

use serde::{Deserialize, Serialize};

pub const SERVICES_PATH: &str = "/v2/apps/{app}/services";

/// Paths of an app whose requests go to another process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Service {
    pub procfile_type: String,
    /// Regular expressions joined by commas.
    pub path_pattern: String,
}

/// Answer of `GET /v2/apps/{app}/services/`, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Services {
    pub services: Vec<Service>,
}

/// Body of `DELETE /v2/apps/{app}/services/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ServiceName {
    pub procfile_type: String,
}
