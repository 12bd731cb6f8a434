//! Registration, login, passwords and tokens (docs/spec/api.md 4.2).

use serde::{Deserialize, Serialize};

pub const REGISTER_PATH: &str = "/v2/auth/register";
pub const LOGIN_PATH: &str = "/v2/auth/login/";
pub const PASSWORD_PATH: &str = "/v2/auth/passwd";
pub const TOKENS_PATH: &str = "/v2/auth/tokens/";
pub const CANCEL_PATH: &str = "/v2/auth/cancel";

/// Body of `POST /v2/auth/register/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Registration {
    pub username: String,
    pub password: String,
    #[serde(default)]
    pub email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub first_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_name: String,
}

/// Body of `POST /v2/auth/login/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Login {
    pub username: String,
    pub password: String,
}

/// Answer with a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Token {
    pub token: String,
}

/// Body of `POST /v2/auth/passwd/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PasswordChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    pub new_password: String,
}

/// Body of `POST /v2/auth/tokens/`: another user, or all users; empty for the caller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TokenChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(nullable = false))]
    pub username: Option<String>,
    /// Its presence counts, whatever its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
}

/// Body of `DELETE /v2/auth/cancel/`: another user; empty for the caller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Cancellation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}
