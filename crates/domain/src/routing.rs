//! Routes: which host goes to which backends.
//!
//! An engine turns [`AppRouting`] (what the controller wants) and what runs into a [`RouteTable`]
//! (all that a router needs). The table is swapped whole; nothing edits one in place.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::certs::{AttachedCert, Pair};
use crate::challenges::Challenge;
use crate::edge::{AppRules, EdgeSettings, Protocol, RouterRules};
use crate::names::{AppName, ProcessType};

/// Routing of an app; the controller replaces it as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRouting {
    pub app: AppName,
    /// Process type that gets the requests; `None` before the first deploy of one that can.
    pub target: Option<ProcessType>,
    /// Domains with the moment of their claim in milliseconds since 1970; an entry without a dot
    /// means a name under the platform domain.
    pub domains: Vec<Claim>,
    #[serde(flatten)]
    pub edge: EdgeSettings,
    /// `false` takes the app out of the table: its hosts answer 404.
    pub routable: bool,
    /// Certificates of domains for HTTPS; other hosts use the platform's certificate.
    #[serde(default)]
    pub certificates: Vec<AttachedCert>,
    /// Process types that some paths go to instead, ordered by type.
    #[serde(default)]
    pub services: Vec<PathService>,
    /// Responses of custom domains to certificate authorities.
    #[serde(default)]
    pub challenges: Vec<Challenge>,
    /// Owner of the app: apps of one owner may reach one another inside a cluster.
    #[serde(default)]
    pub owner: Option<String>,
}

/// Paths that go to a process type of their own; [`crate::services`] matches them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathService {
    pub process: ProcessType,
    /// Patterns, joined by commas.
    pub path_pattern: String,
}

/// A host name and since when it is claimed; the older claim wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Lower case, A-labels; may start with `*.`.
    pub host: String,
    pub since_ms: i64,
}

/// All routes at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// Rises with each table of one engine process; reported back by routers.
    pub version: u64,
    /// Shared with the tables before and after, as far as nothing has changed.
    pub routes: Vec<Arc<Route>>,
    /// Settings of routers, where they can change while routers run.
    pub rules: Arc<RouterRules>,
    /// Certificate of all hosts without one of their own.
    pub platform_certificate: Option<Arc<Pair>>,
}

/// The hosts of one app, or of the platform itself, and where they go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub owner: RouteOwner,
    /// Full host names that belong to the owner by right: `deis.<domain>` or `<app>.<domain>`.
    pub own_hosts: Vec<String>,
    /// Custom domains.
    pub domains: Vec<Claim>,
    #[serde(flatten)]
    pub edge: EdgeSettings,
    /// Domains are full host names here.
    pub certificates: Vec<AttachedCert>,
    /// Settings of operators for the app that differ from the router's.
    pub rules: AppRules,
    /// Replicas that should be serving; above zero, requests wait for a first backend.
    pub wanted: u32,
    pub backends: Vec<Backend>,
    /// Paths that go elsewhere.
    pub services: Vec<ServiceRoute>,
    /// Responses of its hosts to certificate authorities, checked before everything else.
    pub challenges: Vec<Challenge>,
}

impl Route {
    /// A route to a host that its owner has by right, without any settings, for one replica at least.
    pub fn plain(owner: RouteOwner, host: String, backends: Vec<Backend>) -> Self {
        Self {
            owner,
            own_hosts: vec![host],
            domains: Vec::new(),
            edge: EdgeSettings::default(),
            certificates: Vec::new(),
            rules: AppRules::default(),
            wanted: 1,
            backends,
            services: Vec::new(),
            challenges: Vec::new(),
        }
    }

    /// The backends of all paths.
    pub fn all_backends(&self) -> impl Iterator<Item = &Backend> {
        self.backends.iter().chain(self.services.iter().flat_map(|service| &service.backends))
    }
}

/// Target of some paths of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRoute {
    /// Patterns, separated by commas; [`crate::services`] matches them.
    pub path_pattern: String,
    /// As those of the route.
    pub wanted: u32,
    pub backends: Vec<Backend>,
    /// `None` leaves it to the app's rules.
    pub protocol: Option<Protocol>,
}

/// Owner of a route. Platform hosts win over app hosts, app hosts over custom domains.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RouteOwner {
    /// A part of the platform, such as `deis` for the API.
    Platform(String),
    App(AppName),
}

/// One ready replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// Identity that is never reused, unlike an address: the container's id or the pod's UID.
    pub key: String,
    pub address: SocketAddr,
    pub release: u64,
}

/// A router's report to the engine, by which draining knows when a backend is idle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouterReport {
    /// The table version that every worker of this router has taken over.
    pub table_version: u64,
    /// Requests under way per backend key; absent means none.
    pub in_flight: std::collections::BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_recorded_before_there_were_certificates_and_services_is_read() {
        let old = r#"{"app":"blog","target":"web","domains":[{"host":"blog","since_ms":1}],"maintenance":false,
            "routable":true,"whitelist":[],"https_enforced":true}"#;

        let routing: AppRouting = serde_json::from_str(old).expect("an older record");

        assert!(
            routing.edge.https_enforced && routing.certificates.is_empty() && routing.services.is_empty()
        );
        assert!(!routing.edge.access_log);
    }

    #[test]
    fn stored_routings_and_tables_have_the_settings_of_the_edge_beside_the_other_fields() {
        let edge = EdgeSettings { maintenance: true, access_log: true, ..EdgeSettings::default() };
        let owner = RouteOwner::App(AppName::parse("blog").expect("a good name"));
        let route = Route { edge, ..Route::plain(owner, "blog.test".to_owned(), Vec::new()) };
        let stored = serde_json::to_value(&route).expect("a record");
        let flat = ["maintenance", "access_log", "whitelist", "https_enforced"].map(|key| &stored[key]);
        assert_eq!(flat, [&true.into(), &true.into(), &serde_json::json!([]), &false.into()]);
        assert_eq!(serde_json::from_value::<Route>(stored.clone()).expect("it is read back"), route);

        let mut old = stored;
        old.as_object_mut().expect("fields").remove("access_log");

        let old: Route = serde_json::from_value(old).expect("an older record");
        assert!(old.edge.maintenance && !old.edge.access_log);
    }
}
