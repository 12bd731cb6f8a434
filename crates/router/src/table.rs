//! The route table as one worker uses it.

pub(crate) mod affinity;
pub(crate) mod in_flight;
pub(crate) mod last_table;
pub(crate) mod remembered;
pub(crate) mod report;
pub(crate) mod site;
pub(crate) mod tables;
pub(crate) mod tls;

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use domain::certs::Pair;
use domain::edge::RouterRules;
use domain::hosts::HostIndex;
use domain::routing::{Route, RouteOwner, RouteTable};
use rustls::ServerConfig;

use crate::table::site::Site;
use crate::table::tls::TlsConfigs;

/// A table with its index of hosts; replaced whole, and shared by all workers.
pub(crate) struct Table {
    pub(crate) version: u64,
    pub(crate) rules: Arc<RouterRules>,
    /// TLS configuration while this table is in use; `None` without HTTPS.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    sites: Vec<Arc<Site>>,
    index: Arc<HostIndex>,
    /// Gets the requests for hosts of nobody.
    default_site: Option<usize>,
    platform_certificate: Option<Arc<Pair>>,
    change: TableDiff,
}

/// Diff against the previous table.
struct TableDiff {
    /// Version of the one before, where there was one.
    since: Option<u64>,
    /// Places of sites that were made for it.
    new: Vec<usize>,
    /// Keys of backends that are no longer in it, as far as sites with the same owner at the same position show.
    gone: Vec<String>,
    /// It has routes of the same owners at the same places.
    has_same_owners: bool,
}

impl Table {
    /// Makes a table, and takes over from the one before what has not changed.
    pub(crate) fn new(
        table: &RouteTable,
        before: Option<&Self>,
        tls: Option<&TlsConfigs>,
        workers: usize,
    ) -> Self {
        let before = before.filter(|before| before.sites.len() == table.routes.len());
        let has_same_rules = before.is_some_and(|before| before.rules == table.rules);
        let known = |(position, route): (usize, &Arc<Route>)| {
            let site = &before.filter(|_| has_same_rules)?.sites[position];
            (Arc::ptr_eq(&site.route, route) || site.route == *route).then(|| Arc::clone(site))
        };
        let new = |route| Arc::new(Site::new(&table.rules, route, workers));
        let sites: Vec<Arc<Site>> =
            table.routes.iter().enumerate().map(|it| known(it).unwrap_or_else(|| new(it.1))).collect();

        // Places of sites that were made anew, with the old and the new one.
        let replaced: Vec<(usize, &Site, &Site)> = before.map_or_else(Vec::new, |before| {
            let pairs = before.sites.iter().zip(&sites).enumerate();
            let pairs = pairs.filter(|(_, (old, new))| !Arc::ptr_eq(old, new));
            pairs.map(|(place, (old, new))| (place, &**old, &**new)).collect()
        });
        let has_same_hosts = before.is_some() && replaced.iter().all(|(_, old, new)| old.has_hosts_of(new));
        let index = match before.filter(|_| has_same_hosts) {
            Some(before) => Arc::clone(&before.index),
            None => Arc::new(HostIndex::new(table)),
        };
        let has_same_certificates = has_same_hosts
            && has_same_rules
            && before.is_some_and(|before| before.platform_certificate == table.platform_certificate)
            && replaced.iter().all(|(_, old, new)| {
                old.route.certificates == new.route.certificates
                    && old.route.challenges == new.route.challenges
            });
        let tls = match before.filter(|_| has_same_certificates) {
            Some(before) => before.tls.clone(),
            None => tls.map(|tls| tls.config(table, &index)),
        };
        let change = TableDiff {
            since: before.map(|before| before.version),
            new: replaced.iter().map(|(place, ..)| *place).collect(),
            gone: replaced.iter().flat_map(|(_, old, new)| old.backends_without_those_of(new)).collect(),
            has_same_owners: before.is_some()
                && replaced.iter().all(|(_, old, new)| old.route.owner == new.route.owner),
        };
        let place_of = |app: &String| {
            table
                .routes
                .iter()
                .position(|route| matches!(&route.owner, RouteOwner::App(it) if it.as_str() == app))
        };
        Self {
            version: table.version,
            rules: Arc::clone(&table.rules),
            tls,
            default_site: table.rules.default_app.as_ref().and_then(place_of),
            sites,
            index,
            platform_certificate: table.platform_certificate.clone(),
            change,
        }
    }

    fn position(&self, host: &str) -> Option<usize> {
        self.index.find(host).or(self.default_site)
    }

    /// Keys of backends that were in the table of this version and are not here; `None` where that takes a search.
    pub(crate) fn gone_since(&self, version: u64) -> Option<&[String]> {
        (self.change.since == Some(version)).then_some(&self.change.gone)
    }

    /// Returns true if all owners have the same routes as in the table of this version.
    pub(crate) fn has_owners_of(&self, version: u64) -> bool {
        self.change.since == Some(version) && self.change.has_same_owners
    }

    /// Routes that are otherwise than in the table of this version; all where that takes a search.
    pub(crate) fn routes_new_since(&self, version: u64) -> impl Iterator<Item = &Route> {
        let is_known = self.change.since == Some(version);
        let all = if is_known { 0..0 } else { 0..self.sites.len() };
        let new = if is_known { self.change.new.as_slice() } else { &[] };
        new.iter().copied().chain(all).map(|place| &*self.sites[place].route)
    }

    pub(crate) fn owners(&self) -> impl Iterator<Item = &RouteOwner> {
        self.sites.iter().map(|site| &site.route.owner)
    }

    pub(crate) fn has_backend(&self, key: &str) -> bool {
        self.sites.iter().any(|site| site.has_backend(key))
    }
}

/// A worker's reference to a table, which its requests share without atomic counters.
pub(crate) struct TableRef(pub(crate) Arc<Table>);

/// A site in a table that is held for as long as it is looked at.
#[derive(Clone)]
pub(crate) struct SiteRef {
    table: Rc<TableRef>,
    position: usize,
}

impl TableRef {
    /// The site that serves this host.
    pub(crate) fn site(self: &Rc<Self>, host: &str) -> Option<SiteRef> {
        let position = self.0.position(host)?;
        Some(SiteRef { table: Rc::clone(self), position })
    }
}

impl Deref for TableRef {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.0
    }
}

impl Deref for SiteRef {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.table.0.sites[self.position]
    }
}
