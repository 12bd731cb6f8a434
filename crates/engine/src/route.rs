//! Builds one app's route from the controller's routing and the ready replicas.

use domain::ProcessType;
use domain::certs::AttachedCert;
use domain::edge::AppRules;
use domain::routing::{AppRouting, Backend, Claim, Route, RouteOwner, ServiceRoute};

/// The app's route; `None` if the app is not routable. `replicas` returns the wanted number and the ready replicas
/// of a process type; `rules` are the settings that the controller does not set.
pub fn route(
    routing: &AppRouting,
    platform_domain: &str,
    rules: AppRules,
    replicas: impl Fn(&ProcessType) -> (u32, Vec<Backend>),
) -> Option<Route> {
    let AppRouting {
        app,
        target,
        domains,
        maintenance,
        routable,
        access_log,
        whitelist,
        https_enforced,
        certificates,
        services,
        challenges,
        owner: _,
    } = routing;
    let target = target.as_ref().filter(|_| *routable)?;
    let (wanted, backends) = replicas(target);
    let services = services.iter().map(|service| {
        let (wanted, backends) = replicas(&service.process);
        ServiceRoute { path_pattern: service.path_pattern.clone(), wanted, backends, protocol: None }
    });
    let (custom, own): (Vec<&Claim>, Vec<&Claim>) =
        domains.iter().partition(|claim| claim.host.contains('.'));
    Some(Route {
        owner: RouteOwner::App(app.clone()),
        own_hosts: own.iter().map(|claim| full_host(&claim.host, platform_domain)).collect(),
        domains: custom.into_iter().cloned().collect(),
        maintenance: *maintenance,
        whitelist: whitelist.clone(),
        https_enforced: *https_enforced,
        certificates: certificates.iter().map(|cert| for_hosts(cert, platform_domain)).collect(),
        // The operator's setting wins over the app's.
        rules: AppRules { access_log: rules.access_log.or(access_log.then_some(true)), ..rules },
        wanted,
        backends,
        services: services.collect(),
        challenges: challenges.clone(),
    })
}

/// The host of a domain: one without a dot is a name under the platform's.
pub fn full_host(domain: &str, platform_domain: &str) -> String {
    if domain.contains('.') { domain.to_owned() } else { format!("{domain}.{platform_domain}") }
}

fn for_hosts(cert: &AttachedCert, platform_domain: &str) -> AttachedCert {
    let domains = cert.domains.iter().map(|domain| full_host(domain, platform_domain)).collect();
    AttachedCert { domains, ..cert.clone() }
}
