//! Builds routes: the one place where both engines make hosts of domains.

use domain::ProcessType;
use domain::certs::AttachedCert;
use domain::challenges::Challenge;
use domain::edge::{AppRules, EdgeSettings};
use domain::routing::{AppRouting, Backend, Claim, Route, RouteOwner, ServiceRoute};

/// Parts of a route, whose domains may be names under the platform domain.
pub struct RouteParts {
    pub owner: RouteOwner,
    /// Names under the platform domain belong to the owner by right. Otherwise they are claimed like custom domains,
    /// so that no app loses its own name.
    pub has_own_hosts: bool,
    pub domains: Vec<Claim>,
    pub edge: EdgeSettings,
    pub rules: AppRules,
    pub certificates: Vec<AttachedCert>,
    pub challenges: Vec<Challenge>,
    pub wanted: u32,
    pub backends: Vec<Backend>,
    pub services: Vec<ServiceRoute>,
}

impl RouteParts {
    /// The route, with full host names.
    pub fn build(self, platform_domain: &str) -> Route {
        let Self {
            owner,
            has_own_hosts,
            domains,
            edge,
            rules,
            certificates,
            challenges,
            wanted,
            backends,
            services,
        } = self;
        let (mut custom, plain): (Vec<_>, Vec<_>) = domains.into_iter().partition(|it| it.host.contains('.'));
        let full = |claim: Claim| Claim { host: full_host(&claim.host, platform_domain), ..claim };
        let plain = plain.into_iter().map(full);
        let mut own_hosts = Vec::new();
        if has_own_hosts {
            own_hosts.extend(plain.map(|claim| claim.host));
        } else {
            custom = plain.chain(custom).collect();
        }
        Route {
            owner,
            own_hosts,
            domains: custom,
            edge,
            certificates: certificates.into_iter().map(|cert| for_hosts(cert, platform_domain)).collect(),
            rules,
            wanted,
            backends,
            services,
            challenges,
        }
    }
}

/// The app's route; `None` if the app is not routable. `replicas` returns the wanted number and the ready replicas
/// of a process type; `rules` are the settings of operators.
pub fn route(
    routing: &AppRouting,
    platform_domain: &str,
    rules: AppRules,
    replicas: impl Fn(&ProcessType) -> (u32, Vec<Backend>),
) -> Option<Route> {
    let AppRouting { app, target, domains, edge, routable, certificates, services, challenges, owner: _ } =
        routing;
    let target = target.as_ref().filter(|_| *routable)?;
    let (wanted, backends) = replicas(target);
    let services = services.iter().map(|service| {
        let (wanted, backends) = replicas(&service.process);
        ServiceRoute { path_pattern: service.path_pattern.clone(), wanted, backends, protocol: None }
    });
    let parts = RouteParts {
        owner: RouteOwner::App(app.clone()),
        has_own_hosts: true,
        domains: domains.clone(),
        edge: edge.clone(),
        rules,
        certificates: certificates.clone(),
        challenges: challenges.clone(),
        wanted,
        backends,
        services: services.collect(),
    };
    Some(parts.build(platform_domain))
}

/// The host of a domain: one without a dot is a name under the platform's.
fn full_host(domain: &str, platform_domain: &str) -> String {
    if domain.contains('.') { domain.to_owned() } else { format!("{domain}.{platform_domain}") }
}

fn for_hosts(cert: AttachedCert, platform_domain: &str) -> AttachedCert {
    let domains = cert.domains.iter().map(|domain| full_host(domain, platform_domain)).collect();
    AttachedCert { domains, ..cert }
}
