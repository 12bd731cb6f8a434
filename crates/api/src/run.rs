//! One-off processes (docs/spec/api.md 4.12).

use serde::{Deserialize, Serialize};

pub const RUN_PATH: &str = "/v2/apps/{app}/run";

/// Body of `POST /v2/apps/{app}/run`: the command of a one-off process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Run {
    pub command: String,
    /// [`BASE64`] asks for the output byte by byte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub encoding: Option<String>,
}

/// Name of the encoding in which output of any bytes is answered.
pub const BASE64: &str = "base64";

/// Exit code and output of a one-off process; 200 whatever the exit code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunResult {
    pub exit_code: i64,
    /// stdout and stderr as they came: text, in which bytes that are none are replaced, or in `encoding`.
    pub output: String,
    /// `base64` where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// True if the encoded output was cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}
