//! Host names of requests: how one is read, and which route it means.
//!
//! Platform hosts come before app hosts, app hosts before custom domains; among equal custom domains
//! the older claim wins (docs/spec/components.md 5.3).

use std::collections::HashMap;

use crate::routing::{RouteOwner, RouteTable};

/// Reads the host of a `Host` header or a request target: lower case, without port and trailing dot.
/// `None` for what cannot be a host name or an IP address.
pub fn parse_host(authority: &str) -> Option<String> {
    if authority.len() > 255 + ":65535".len() || authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, after.strip_prefix(':').or(after.is_empty().then_some("0"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "0")),
    };
    port.parse::<u16>().ok()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let well_formed = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':'));
    well_formed.then(|| host.to_ascii_lowercase())
}

/// Finds the route of a host in constant time per label.
#[derive(Debug, Default)]
pub struct HostIndex {
    exact: HashMap<String, HostClaim>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<String, HostClaim>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// 0 platform, 1 app's own host, 2 custom domain.
    class: u8,
    since_ms: i64,
}

#[derive(Debug, Clone, Copy)]
struct HostClaim {
    rank: Rank,
    route: usize,
}

impl HostIndex {
    /// Indexes all hosts of a table. A host that several routes claim goes to the platform, then to an app's own
    /// name, then to the oldest claim.
    pub fn new(table: &RouteTable) -> Self {
        let mut index = Self::default();
        for (position, route) in table.routes.iter().enumerate() {
            let class = match route.owner {
                RouteOwner::Platform(_) => 0,
                RouteOwner::App(_) => 1,
            };
            for host in &route.own_hosts {
                index.claim(host, HostClaim { rank: Rank { class, since_ms: 0 }, route: position });
            }
            for domain in &route.domains {
                let rank = Rank { class: 2, since_ms: domain.since_ms };
                index.claim(&domain.host, HostClaim { rank, route: position });
            }
        }
        index
    }

    fn claim(&mut self, host: &str, claimed: HostClaim) {
        let (names, name) = match host.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, host),
        };
        let winner = names.entry(name.to_owned()).or_insert(claimed);
        if claimed.rank < winner.rank {
            *winner = claimed;
        }
    }

    /// Position of the route that has won this very name, of which a leading `*.` is a part.
    pub fn owner(&self, name: &str) -> Option<usize> {
        let claimed = match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.get(parent),
            None => self.exact.get(name),
        };
        claimed.map(|claimed| claimed.route)
    }

    /// Position in the table of the route that serves `host` (as [`parse_host`] gives it).
    /// An exact name wins over a wildcard, a longer wildcard over a shorter one.
    pub fn find(&self, host: &str) -> Option<usize> {
        if let Some(claimed) = self.exact.get(host) {
            return Some(claimed.route);
        }
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(claimed) = self.wildcard.get(parent) {
                return Some(claimed.route);
            }
            rest = parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::AppName;
    use crate::routing::{Claim, Route};

    fn route(owner: RouteOwner, own_host: &str, domains: &[(&str, i64)]) -> Arc<Route> {
        let claims =
            domains.iter().map(|(host, since_ms)| Claim { host: (*host).to_owned(), since_ms: *since_ms });
        Arc::new(Route { domains: claims.collect(), ..Route::plain(owner, own_host.to_owned(), Vec::new()) })
    }

    fn app(name: &str) -> RouteOwner {
        RouteOwner::App(AppName::parse(name).expect("a good name"))
    }

    #[test]
    fn a_host_is_read_without_port_case_and_trailing_dot() {
        for (text, host) in [
            ("Blog.Localhost:8000", Some("blog.localhost")),
            ("blog.localhost.", Some("blog.localhost")),
            ("[::1]:80", Some("::1")),
            ("127.0.0.1", Some("127.0.0.1")),
        ] {
            assert_eq!(parse_host(text).as_deref(), host, "{text:?}");
        }
        for bad in ["", "a b", "a/b", "user@host", "host:port", "host:99999", "[::1", "a\tb", "é.com"] {
            assert_eq!(parse_host(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn platform_hosts_win_over_apps_and_apps_over_custom_domains() {
        let table = RouteTable {
            version: 1,
            routes: vec![
                route(app("evil"), "evil.localhost", &[("deis.localhost", 1), ("blog.localhost", 1)]),
                route(app("blog"), "blog.localhost", &[]),
                route(RouteOwner::Platform("deis".to_owned()), "deis.localhost", &[]),
            ],
            ..RouteTable::default()
        };
        let index = HostIndex::new(&table);

        assert_eq!(index.find("deis.localhost"), Some(2));
        assert_eq!(index.find("blog.localhost"), Some(1));
        assert_eq!(index.find("evil.localhost"), Some(0));
        assert_eq!(index.find("localhost"), None);
    }

    #[test]
    fn the_older_claim_and_the_longer_name_win() {
        let table = RouteTable {
            version: 1,
            routes: vec![
                route(app("young"), "young.localhost", &[("www.example.com", 20), ("*.example.com", 5)]),
                route(app("old"), "old.localhost", &[("www.example.com", 10), ("*.a.example.com", 9)]),
            ],
            ..RouteTable::default()
        };
        let index = HostIndex::new(&table);

        assert_eq!(index.find("www.example.com"), Some(1));
        assert_eq!(index.find("shop.example.com"), Some(0));
        assert_eq!(index.find("b.a.example.com"), Some(1));
        assert_eq!(index.find("example.com"), None);
    }
}
