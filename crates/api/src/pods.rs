//! Pods (api.md 4.11).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Pod {
    pub name: String,
    pub state: String,
    /// `v3`.
    pub release: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub started: String,
}

/// The list of pods is no page: it has neither `next` nor `previous`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Pods {
    pub results: Vec<Pod>,
    pub count: u64,
}
