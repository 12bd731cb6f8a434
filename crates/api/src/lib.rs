//! Wire types of the REST API `/v2`, one file per resource, and a typed client (feature `client`).
//!
//! Field order is the order on the wire (docs/spec/api.md 4). Times stay texts here: UTC, whole seconds,
//! `2017-01-14T23:55:59Z`. What a field means and what is allowed in it is decided in `domain`. Paths have their
//! parameters in braces; the controller's routes and the client's requests are made from them.

pub mod apps;
pub mod auth;
pub mod auto_certs;
pub mod builds;
pub mod certs;
#[cfg(feature = "client")]
pub mod client;
pub mod config;
pub mod domains;
pub mod hooks;
pub mod keys;
pub mod logs;
pub mod perms;
pub mod pods;
pub mod releases;
pub mod run;
pub mod services;
pub mod settings;
pub mod stacks;
pub mod terminal;
pub mod tls;
pub mod users;
pub mod visible;
pub mod whitelist;

use serde::{Deserialize, Deserializer, Serialize};

/// Version of this API, sent with each answer as `DEIS_API_VERSION`.
pub const API_VERSION: &str = "2.3";
/// Version of the platform that provides this API, sent as `DEIS_PLATFORM_VERSION`.
pub const PLATFORM_VERSION: &str = "2.3.0";
/// Root of the API, by which clients recognize a controller.
pub const ROOT_PATH: &str = "/v2/";
/// Description of the API as OpenAPI.
pub const OPENAPI_PATH: &str = "/v2/openapi.json";
/// Results on a page where the request names no `limit`.
pub const PAGE_LIMIT_DEFAULT: u64 = 100;

/// One page of a list (docs/spec/api.md 1.5).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// Results in all, on every page together.
    pub count: u64,
    /// Absolute URL of the next page.
    pub next: Option<String>,
    /// Absolute URL of the page before.
    pub previous: Option<String>,
    pub results: Vec<T>,
}

/// The shape of most errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Detail {
    pub detail: String,
}

/// Reads `null` as an absent field: older controllers send it for objects and texts.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
