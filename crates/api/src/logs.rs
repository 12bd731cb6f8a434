//! An app's log as it is followed: each value on a line of its own.

use serde::{Deserialize, Serialize};

pub const LOGS_PATH: &str = "/v2/apps/{app}/logs";
pub const FOLLOW_PATH: &str = "/v2/apps/{app}/logs/follow";

/// A line, a hole in the log, or only a sign that the server is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LogEvent {
    /// Position in the log after this line; following resumes from it with `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Number of lines that are missing here: they were too many, or are no longer kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}
