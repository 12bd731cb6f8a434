//! From what the watches told to the routes: pure, but for what is remembered about runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use domain::AppName;
use domain::routing::{Backend, Claim, Route, RouteOwner};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::kubernetes::objects::service::{Annotated, SERVICE_PORT, annotated};
use crate::kubernetes::{KubernetesSettings, names};

/// Label of a slice: the Service that it belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Which run of each pod serves: a container that was started again is another backend to a router, though
/// the pod and its address are the same. Told apart by the time in between when it was not ready.
#[derive(Debug, Default)]
pub struct Runs {
    pods: HashMap<String, Run>,
}

#[derive(Debug, Default)]
struct Run {
    is_ready: bool,
    /// How often it stopped being ready.
    ends: u32,
}

impl Runs {
    fn note(&mut self, uid: &str, is_ready: bool) {
        let run = self.pods.entry(uid.to_owned()).or_default();
        run.ends += u32::from(run.is_ready && !is_ready);
        run.is_ready = is_ready;
    }

    fn key(&self, uid: &str) -> String {
        match self.pods.get(uid).map_or(0, |run| run.ends) {
            0 => uid.to_owned(),
            ends => format!("{uid}@{ends}"),
        }
    }
}

/// The routes of all Services; one that cannot be read harms no other.
pub fn routes(
    settings: &KubernetesSettings,
    services: &[Arc<Service>],
    slices: &[Arc<EndpointSlice>],
    releases: &HashMap<String, u64>,
    runs: &mut Runs,
) -> Vec<Route> {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get(SERVICE_LABEL));
        if let (Some(space), Some(service)) = (slice.metadata.namespace.as_deref(), service) {
            by_service.entry((space, service)).or_default().push(slice);
        }
    }
    note_runs(slices, releases, runs);
    let mut routes: Vec<_> = services
        .iter()
        .filter_map(|service| {
            let (space, name) = (service.metadata.namespace.as_deref()?, service.metadata.name.as_deref()?);
            let slices = by_service.get(&(space, name)).map_or(&[][..], Vec::as_slice);
            let backends = backends(service, slices, releases, runs);
            route(settings, service, space, name, backends)
        })
        .collect();
    routes.sort_by(|one, other| (&one.owner, &one.own_hosts).cmp(&(&other.owner, &other.own_hosts)));
    routes
}

fn note_runs(slices: &[Arc<EndpointSlice>], releases: &HashMap<String, u64>, runs: &mut Runs) {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let known: HashMap<&str, bool> =
        endpoints.filter_map(|endpoint| Some((uid(endpoint)?, is_ready(endpoint)))).collect();
    runs.pods.retain(|uid, _| releases.contains_key(uid) || known.contains_key(uid.as_str()));
    let absent: Vec<_> = runs.pods.keys().filter(|uid| !known.contains_key(uid.as_str())).cloned().collect();
    absent.iter().for_each(|uid| runs.note(uid, false));
    known.iter().for_each(|(uid, is_ready)| runs.note(uid, *is_ready));
}

fn route(
    settings: &KubernetesSettings,
    service: &Service,
    space: &str,
    name: &str,
    backends: Vec<Backend>,
) -> Option<Route> {
    let claimed_ms = service.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_millisecond());
    let Annotated { domains, maintenance, whitelist, https_enforced, wanted, wrong: _ } =
        annotated(service.metadata.annotations.as_ref(), claimed_ms);
    let (custom, plain): (Vec<_>, Vec<_>) = domains.into_iter().partition(|claim| claim.host.contains('.'));
    let Owner { owner, has_own_hosts } = owner(settings, service, space, name, &plain)?;
    let full = |claim: &Claim| format!("{}.{}", claim.host, settings.platform_domain);
    let (own_hosts, domains) = if has_own_hosts {
        (plain.iter().map(full).collect(), custom)
    } else {
        // What someone else put into the cluster claims names like a custom domain: no app loses its own.
        let claims = plain.iter().map(|claim| Claim { host: full(claim), since_ms: claim.since_ms });
        (Vec::new(), claims.chain(custom).collect())
    };
    if own_hosts.is_empty() && domains.is_empty() {
        return None;
    }
    let wanted = wanted.unwrap_or(1);
    Some(Route { owner, own_hosts, domains, maintenance, whitelist, https_enforced, wanted, backends })
}

struct Owner {
    owner: RouteOwner,
    /// Names under the platform's domain belong to it by right.
    has_own_hosts: bool,
}

fn owner(
    settings: &KubernetesSettings,
    service: &Service,
    space: &str,
    name: &str,
    plain: &[Claim],
) -> Option<Owner> {
    let labels = service.metadata.labels.as_ref();
    if space == settings.platform_namespace {
        let part = plain.first().map_or(name, |claim| &claim.host).to_owned();
        return Some(Owner { owner: RouteOwner::Platform(part), has_own_hosts: true });
    }
    if let Some(app) = names::app_of(settings, space, labels).filter(|app| app.as_str() == name) {
        return Some(Owner { owner: RouteOwner::App(app), has_own_hosts: true });
    }
    let heritage = labels.and_then(|labels| labels.get(names::HERITAGE_LABEL));
    if heritage.is_some_and(|heritage| heritage == names::HERITAGE) {
        // An app of another installation in the same cluster.
        return None;
    }
    let shown = if space == name { name.to_owned() } else { format!("{space}-{name}") };
    let owner = RouteOwner::App(AppName::parse(&shown).ok()?);
    Some(Owner { owner, has_own_hosts: false })
}

fn backends(
    service: &Service,
    slices: &[&EndpointSlice],
    releases: &HashMap<String, u64>,
    runs: &Runs,
) -> Vec<Backend> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let Some(wanted) = ports.iter().find(|port| port.port == SERVICE_PORT) else { return Vec::new() };
    let mut known = HashSet::new();
    let mut backends = Vec::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let same =
            |name: &Option<String>| name.as_deref().unwrap_or("") == wanted.name.as_deref().unwrap_or("");
        let port = ports.into_iter().find(|port| same(&port.name)).and_then(|port| port.port);
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { continue };
        for endpoint in slice.endpoints.iter().filter(|endpoint| is_ready(endpoint)) {
            let Some(backend) = backend(endpoint, port, releases, runs) else { continue };
            // A pod with two addresses is one backend.
            if known.insert(backend.key.clone()) {
                backends.push(backend);
            }
        }
    }
    backends.sort_by(|one, other| one.key.cmp(&other.key));
    backends
}

fn backend(endpoint: &Endpoint, port: u16, releases: &HashMap<String, u64>, runs: &Runs) -> Option<Backend> {
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let address = SocketAddr::new(address, port);
    Some(match uid(endpoint) {
        Some(uid) => {
            Backend { key: runs.key(uid), address, release: releases.get(uid).copied().unwrap_or(0) }
        }
        None => Backend { key: address.to_string(), address, release: 0 },
    })
}

fn uid(endpoint: &Endpoint) -> Option<&str> {
    endpoint.target_ref.as_ref()?.uid.as_deref()
}

/// One on its way out gets no new request, whatever else is said of it.
fn is_ready(endpoint: &Endpoint) -> bool {
    let Some(conditions) = &endpoint.conditions else { return true };
    conditions.ready.unwrap_or(true) && !conditions.terminating.unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "it reads better with `json!`")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(space: &str, name: &str, labels: Value, annotations: Value) -> Arc<Service> {
        let metadata = json!({ "namespace": space, "name": name, "labels": labels, "annotations": annotations,
            "creationTimestamp": "1970-01-01T00:00:09Z" });
        let spec = json!({ "ports": [{ "name": "http", "port": 80, "targetPort": "http" }] });
        Arc::new(serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).expect("a Service"))
    }

    fn blog(annotations: Value) -> Arc<Service> {
        service("blog", "blog", json!({ "app": "blog", "heritage": "deis" }), annotations)
    }

    fn slice(space: &str, name: &str, endpoints: Value) -> Arc<EndpointSlice> {
        let metadata = json!({ "namespace": space, "labels": { "kubernetes.io/service-name": name } });
        let slice = json!({ "metadata": metadata, "addressType": "IPv4", "endpoints": endpoints,
            "ports": [{ "name": "http", "port": 5000 }] });
        Arc::new(serde_json::from_value(slice).expect("a slice"))
    }

    fn endpoint(uid: &str, ready: bool, terminating: bool) -> Value {
        json!({ "addresses": ["10.244.1.2"], "targetRef": { "kind": "Pod", "uid": uid },
            "conditions": { "ready": ready, "terminating": terminating } })
    }

    fn routed(services: &[Arc<Service>], slices: &[Arc<EndpointSlice>], runs: &mut Runs) -> Vec<Route> {
        let releases = HashMap::from([("a".to_owned(), 7), ("b".to_owned(), 8)]);
        routes(&KubernetesSettings::new("localhost"), services, slices, &releases, runs)
    }

    #[test]
    fn an_app_is_routed_to_its_ready_pods_with_their_releases() {
        let blog = blog(json!({ "router.deis.io/domains": "blog,www.example.com", "deis.io/wanted": "3" }));
        let endpoints =
            json!([endpoint("b", true, false), endpoint("a", true, false), endpoint("c", false, false)]);

        let routes = routed(&[blog], &[slice("blog", "blog", endpoints)], &mut Runs::default());

        let route = &routes[0];
        assert_eq!(route.own_hosts, ["blog.localhost"]);
        assert_eq!((route.domains[0].host.as_str(), route.wanted), ("www.example.com", 3));
        let backends: Vec<_> = route.backends.iter().map(|it| (it.key.as_str(), it.release)).collect();
        assert_eq!(backends, [("a", 7), ("b", 8)]);
        assert_eq!(route.backends[0].address.to_string(), "10.244.1.2:5000");
    }

    #[test]
    fn a_pod_on_its_way_out_gets_no_new_request() {
        let blog = blog(json!({ "router.deis.io/domains": "blog" }));
        let endpoints = json!([endpoint("a", true, true)]);

        let routes = routed(&[blog], &[slice("blog", "blog", endpoints)], &mut Runs::default());

        assert_eq!(routes[0].backends, []);
    }

    #[test]
    fn a_pod_that_was_not_ready_in_between_is_another_backend() {
        let mut runs = Runs::default();
        let mut keys = Vec::new();
        for is_ready in [false, true, true, false, true] {
            let blog = blog(json!({ "router.deis.io/domains": "blog" }));
            let slice = slice("blog", "blog", json!([endpoint("a", is_ready, false)]));
            let routes = routed(&[blog], &[slice], &mut runs);
            keys.extend(routes[0].backends.first().map(|backend| backend.key.clone()));
        }

        assert_eq!(keys, ["a", "a", "a@1"]);
    }

    #[test]
    fn the_platforms_own_services_and_those_of_others_are_routes_too() {
        let platform =
            service("deis", "deis-controller", json!({}), json!({ "router.deis.io/domains": "deis" }));
        let grafana =
            service("monitoring", "grafana", json!({}), json!({ "router.deis.io/domains": "blog" }));
        let other = service(
            "x-shop",
            "shop",
            json!({ "app": "shop", "heritage": "deis" }),
            json!({ "router.deis.io/domains": "shop" }),
        );

        let routes = routed(&[platform, grafana, other], &[], &mut Runs::default());

        assert_eq!(routes.len(), 2);
        assert_eq!(
            (&routes[0].owner, &routes[0].own_hosts[..]),
            (&RouteOwner::Platform("deis".to_owned()), &["deis.localhost".to_owned()][..],)
        );
        assert_eq!(routes[0].wanted, 1);
        // It claims a name that an app may have: the app's own right goes before it.
        let claim = Claim { host: "blog.localhost".to_owned(), since_ms: 9_000 };
        assert_eq!((&routes[1].own_hosts[..], &routes[1].domains[..]), (&[][..], &[claim][..]));
    }

    #[test]
    fn a_service_whose_annotations_are_nonsense_harms_only_its_own_route() {
        let good = blog(json!({ "router.deis.io/domains": "blog" }));
        let bad = service(
            "x",
            "x",
            json!({}),
            json!({ "router.deis.io/domains": "no host!",
            "router.deis.io/maintenance": "maybe" }),
        );

        let routes = routed(&[bad, good], &[], &mut Runs::default());

        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].own_hosts, ["blog.localhost"]);
    }
}
