//! Edge settings of a router and of an app (docs/router.md has the table), and how the two are merged.
//!
//! The keys are those that Deis had for its nginx. [`router_rules`] and [`app_rules`] read them;
//! [`SiteRules::of`] decides what holds for one app.

mod backend;
mod limits;
mod nested;
mod read;
mod settings;
mod site;

use std::time::Duration;

pub use backend::{Protocol, ProxyHeader};
pub use limits::{BoundRules, LimitRules, RequestBound, RequestLimits, RequestRate};
use serde::{Deserialize, Serialize};

pub use read::{app_keys, app_rules, router_keys, router_rules};
pub use settings::EdgeSettings;
pub use site::{SiteRules, TlsVersion};

use crate::networks::Network;

/// Settings of a router, for all apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterRules {
    /// Longest silence of an app.
    pub timeout: Duration,
    /// Largest request body; `None` has no bound.
    pub body_bytes_max: Option<u64>,
    /// Request bodies come in as a whole before a replica is asked; otherwise they stream.
    #[serde(default = "yes")]
    pub request_buffering: bool,
    pub gzip: Gzip,
    /// Offers zstd beside gzip where responses are compressed.
    pub zstd: bool,
    pub limits: LimitRules,
    /// Proxies in front that are trusted about the client's address and scheme.
    pub trusted_proxies: Vec<Network>,
    /// Connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    pub default_whitelist: Vec<Network>,
    /// An app's own list replaces the default one instead of adding to it.
    pub whitelist_overrides: bool,
    /// An app without any list refuses everybody.
    pub whitelists_enforced: bool,
    /// Gets the requests for hosts of nobody.
    pub default_app: Option<String>,
    /// Sends clients back to the replica that answered them before.
    pub sticky: bool,
    pub request_ids: bool,
    pub request_start: bool,
    pub http2: bool,
    pub https_enforced: bool,
    pub hsts: Hsts,
    pub tls_minimum: TlsVersion,
    pub referrer_policy: Option<String>,
    /// Logs requests in the log of their app.
    pub access_log: bool,
}

/// Default of fields that older stored tables lack.
fn yes() -> bool {
    true
}

impl Default for RouterRules {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1_300),
            body_bytes_max: Some(1 << 30),
            request_buffering: true,
            gzip: Gzip::default(),
            zstd: true,
            limits: LimitRules::default(),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            default_whitelist: Vec::new(),
            whitelist_overrides: false,
            whitelists_enforced: false,
            default_app: None,
            sticky: false,
            request_ids: false,
            request_start: false,
            http2: true,
            https_enforced: false,
            hsts: Hsts::default(),
            tls_minimum: TlsVersion::V1_2,
            referrer_policy: None,
            access_log: false,
        }
    }
}

/// Compression of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gzip {
    pub enabled: bool,
    /// 1 to 9.
    pub level: u32,
    pub bytes_min: u64,
    /// Media types without parameters.
    pub types: Vec<String>,
    pub vary: bool,
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            enabled: true,
            level: 5,
            bytes_min: 256,
            types: DEFAULT_TYPES.iter().map(|text| (*text).to_owned()).collect(),
            vary: true,
        }
    }
}

const DEFAULT_TYPES: [&str; 18] = [
    "application/atom+xml",
    "application/javascript",
    "application/json",
    "application/rss+xml",
    "application/vnd.ms-fontobject",
    "application/x-font-ttf",
    "application/x-web-app-manifest+json",
    "application/xhtml+xml",
    "application/xml",
    "font/opentype",
    "image/svg+xml",
    "image/x-icon",
    "text/css",
    "text/html",
    "text/javascript",
    "text/plain",
    "text/xml",
    "text/x-component",
];

/// HTTP Strict Transport Security (RFC 6797).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hsts {
    pub enabled: bool,
    pub seconds: u64,
    pub include_subdomains: bool,
    pub preload: bool,
}

impl Default for Hsts {
    fn default() -> Self {
        Self { enabled: false, seconds: 180 * 86_400, include_subdomains: false, preload: false }
    }
}

/// Settings of an app that operators have and the API has not; `None` leaves the router's value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRules {
    pub connect_timeout: Option<Duration>,
    pub timeout: Option<Duration>,
    /// `Some(None)` has no bound.
    #[serde(with = "nested")]
    pub body_bytes_max: Option<Option<u64>>,
    pub request_buffering: Option<bool>,
    pub gzip: Option<bool>,
    pub zstd: Option<bool>,
    pub limits: LimitRules,
    pub protocol: Option<Protocol>,
    pub proxy_header: Option<ProxyHeader>,
    pub sticky: Option<bool>,
    pub hsts: Option<bool>,
    pub hsts_seconds: Option<u64>,
    pub hsts_include_subdomains: Option<bool>,
    pub hsts_preload: Option<bool>,
    /// `Some(None)` sets no header.
    #[serde(with = "nested")]
    pub referrer_policy: Option<Option<String>>,
    pub request_start_disabled: bool,
    /// Wins over [`EdgeSettings::access_log`].
    pub access_log: Option<bool>,
}
