//! From what the controller wants and what is ready to one app's line in the route table.

use domain::routing::{AppRouting, Backend, Claim, Route, RouteOwner};

/// The app's route; `None` when the app is not to be reached.
pub fn route(
    routing: &AppRouting,
    platform_domain: &str,
    wanted: u32,
    backends: Vec<Backend>,
) -> Option<Route> {
    let AppRouting { app, target, domains, maintenance, routable, whitelist, https_enforced } = routing;
    if !routable || target.is_none() {
        return None;
    }
    let (custom, own): (Vec<&Claim>, Vec<&Claim>) =
        domains.iter().partition(|claim| claim.host.contains('.'));
    Some(Route {
        owner: RouteOwner::App(app.clone()),
        own_hosts: own.iter().map(|claim| format!("{}.{platform_domain}", claim.host)).collect(),
        domains: custom.into_iter().cloned().collect(),
        maintenance: *maintenance,
        whitelist: whitelist.clone(),
        https_enforced: *https_enforced,
        wanted,
        backends,
    })
}
