//! Stacks of the platform (docs/spec/api.md 4.21).

use serde::{Deserialize, Serialize};

pub const STACKS_PATH: &str = "/v2/stacks";

/// A stack that apps can choose by the setting `stack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Stack {
    pub name: String,
    /// New apps get it.
    pub default: bool,
    /// Languages of which builds get the compilers and apps the run time.
    pub toolchains: Vec<String>,
}

/// Answer of `GET /v2/stacks/`: all stacks, by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Stacks {
    pub stacks: Vec<Stack>,
}
