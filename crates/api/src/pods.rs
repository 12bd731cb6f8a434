//! Pods (docs/spec/api.md 4.11).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub const SCALE_PATH: &str = "/v2/apps/{app}/scale";
pub const PODS_PATH: &str = "/v2/apps/{app}/pods";
pub const PODS_OF_TYPE_PATH: &str = "/v2/apps/{app}/pods/{type}";
pub const POD_PATH: &str = "/v2/apps/{app}/pods/{type}/{name}";
pub const RESTART_PATH: &str = "/v2/apps/{app}/pods/restart";
pub const RESTART_TYPE_PATH: &str = "/v2/apps/{app}/pods/{type}/restart";
pub const RESTART_POD_PATH: &str = "/v2/apps/{app}/pods/{type}/{name}/restart";

/// Body of `POST …/scale/`: process types and the wanted pods of each.
pub type Scale = BTreeMap<String, u32>;

/// A pod as the API returns it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Pod {
    pub name: String,
    /// State such as `up` or `crashed`, or a reason of the engine (docs/spec/api.md 4.11).
    pub state: String,
    /// `v3`.
    pub release: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub started: String,
    /// Unrequested exits of its process; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crashes: Option<Crashes>,
}

/// Ends of a pod's process that nobody asked for, after each of which it is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Crashes {
    /// The last exit: `exit code 3`, `exit code 139, signal 11 (SIGSEGV)`, `out of memory`.
    pub reason: String,
    pub exit_code: i64,
    /// It was killed because it needed more memory than it may have.
    pub out_of_memory: bool,
    pub times: u64,
    /// The first crash, or the start of the pod where the first is not known.
    pub since: String,
    pub last: String,
}

/// The list of pods is no page: it has neither `next` nor `previous`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Pods {
    pub results: Vec<Pod>,
    pub count: u64,
}
