//! Builds the routes from the watched objects: pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use domain::AppName;
use domain::certs::AttachedCert;
use domain::edge::Protocol;
use domain::routing::{Backend, Claim, Route, RouteOwner, ServiceRoute};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::certificates::Pairs;
use crate::objects::service::{NamedCert, SERVICE_PORT, ServiceAnnotations, annotated};
use crate::{KubernetesSettings, names};
use engine::route::RouteParts;

/// Label of a slice: the Service that it belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Workload of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodRun {
    pub release: u64,
    /// Number of restarts of its container.
    pub restarts: i32,
}

/// The routes of all Services; one that cannot be read harms no other.
pub fn routes(
    settings: &KubernetesSettings,
    services: &[Arc<Service>],
    slices: &[Arc<EndpointSlice>],
    runs: &HashMap<String, PodRun>,
    pairs: &Pairs,
) -> Vec<Route> {
    let mut by_service: BTreeMap<(&str, &str), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices {
        let labels = slice.metadata.labels.as_ref();
        let service = labels.and_then(|labels| labels.get(SERVICE_LABEL));
        if let (Some(space), Some(service)) = (slice.metadata.namespace.as_deref(), service) {
            by_service.entry((space, service)).or_default().push(slice);
        }
    }
    let backends = |service: &Service, space, name| {
        let slices = by_service.get(&(space, name)).map_or(&[][..], Vec::as_slice);
        backends(service, slices, runs)
    };
    let located = located(services, backends);
    let mut routes: Vec<_> = services
        .iter()
        .filter_map(|service| {
            let (space, name) = (service.metadata.namespace.as_deref()?, service.metadata.name.as_deref()?);
            let located = located.get(space).map_or(&[][..], Vec::as_slice);
            route(settings, service, space, name, backends(service, space, name), located, pairs)
        })
        .collect();
    routes.sort_by(|one, other| (&one.owner, &one.own_hosts).cmp(&(&other.owner, &other.own_hosts)));
    routes
}

/// Targets of a domain's paths, by namespace: a Service takes none of another's.
struct RoutedPath {
    service: String,
    domain: String,
    route: ServiceRoute,
}

fn located<'a>(
    services: &'a [Arc<Service>],
    backends: impl Fn(&Service, &'a str, &'a str) -> Vec<Backend>,
) -> BTreeMap<&'a str, Vec<RoutedPath>> {
    let mut located: BTreeMap<&str, Vec<RoutedPath>> = BTreeMap::new();
    for service in services {
        let meta = &service.metadata;
        let (Some(space), Some(name)) = (meta.namespace.as_deref(), meta.name.as_deref()) else { continue };
        // Most Services have none: the rest of their annotations is not read twice.
        if !meta.annotations.as_ref().is_some_and(|all| all.contains_key(names::PROXY_DOMAIN_ANNOTATION)) {
            continue;
        }
        let ServiceAnnotations { located: Some((domain, path_pattern)), wanted, rules, .. } =
            annotated(meta.annotations.as_ref(), 0)
        else {
            continue;
        };
        let backends = backends(service, space, name);
        let protocol = rules.protocol.or_else(|| protocol(service));
        let route = ServiceRoute { path_pattern, wanted: wanted.unwrap_or(1), backends, protocol };
        located.entry(space).or_default().push(RoutedPath { service: name.to_owned(), domain, route });
    }
    for services in located.values_mut() {
        services.sort_by(|one, other| one.service.cmp(&other.service));
    }
    located
}

fn route(
    settings: &KubernetesSettings,
    service: &Service,
    space: &str,
    name: &str,
    backends: Vec<Backend>,
    located: &[RoutedPath],
    pairs: &Pairs,
) -> Option<Route> {
    let claimed_ms = service.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_millisecond());
    let ServiceAnnotations {
        domains,
        edge,
        certificates,
        challenges,
        mut rules,
        located: _,
        wanted,
        wrong: _,
    } = annotated(service.metadata.annotations.as_ref(), claimed_ms);
    let Owner { owner, has_own_hosts } = owner(settings, service, space, name, &domains)?;
    rules.protocol = rules.protocol.or_else(|| protocol(service));
    // An app is meant by its name also where it has given that up as a domain.
    let is_meant =
        |to: &&RoutedPath| to.domain == name || domains.iter().any(|claim| claim.host == to.domain);
    let services = located.iter().filter(is_meant).map(|to| to.route.clone()).collect();
    let certificates = certificates.into_iter().filter_map(|NamedCert { name, domains, stamp: _ }| {
        let pair = Arc::clone(pairs.get(&(space.to_owned(), name.clone()))?);
        Some(AttachedCert { name, domains, pair })
    });
    let certificates = certificates.collect();
    let wanted = wanted.unwrap_or(1);
    let parts = RouteParts {
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
    };
    let has_host = !parts.domains.is_empty();
    has_host.then(|| parts.build(&settings.platform_domain))
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
    domains: &[Claim],
) -> Option<Owner> {
    let labels = service.metadata.labels.as_ref();
    if space == settings.platform_namespace {
        let mut plain = domains.iter().filter(|claim| !claim.host.contains('.'));
        let part = plain.next().map_or(name, |claim| &claim.host).to_owned();
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

/// Protocol of the port, in Kubernetes' terms.
fn protocol(service: &Service) -> Option<Protocol> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    let port = ports.iter().find(|port| port.port == SERVICE_PORT)?;
    Protocol::named(port.app_protocol.as_deref()?)
}

fn backends(service: &Service, slices: &[&EndpointSlice], runs: &HashMap<String, PodRun>) -> Vec<Backend> {
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
            let Some(backend) = backend(endpoint, port, runs) else { continue };
            // A pod with two addresses is one backend.
            if known.insert(backend.key.clone()) {
                backends.push(backend);
            }
        }
    }
    backends.sort_by(|one, other| one.key.cmp(&other.key));
    backends
}

/// A container that was started again is another backend, though its pod and its address are the same.
fn backend(endpoint: &Endpoint, port: u16, runs: &HashMap<String, PodRun>) -> Option<Backend> {
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let address = SocketAddr::new(address, port);
    let Some(uid) = uid(endpoint) else {
        return Some(Backend { key: address.to_string(), address, release: 0 });
    };
    let PodRun { release, restarts } = runs.get(uid).copied().unwrap_or(PodRun { release: 0, restarts: 0 });
    let key = if restarts == 0 { uid.to_owned() } else { format!("{uid}@{restarts}") };
    Some(Backend { key, address, release })
}

fn uid(endpoint: &Endpoint) -> Option<&str> {
    endpoint.target_ref.as_ref()?.uid.as_deref()
}

/// A leaving endpoint gets no new request, whatever its other conditions.
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

    fn routed(services: &[Arc<Service>], slices: &[Arc<EndpointSlice>]) -> Vec<Route> {
        let run = |uid: &str, release, restarts| (uid.to_owned(), PodRun { release, restarts });
        let runs = HashMap::from([run("a", 7, 0), run("b", 8, 2)]);
        routes(&KubernetesSettings::new("localhost"), services, slices, &runs, &Pairs::new())
    }

    #[test]
    fn an_app_is_routed_to_its_ready_pods_by_run_and_release() {
        let blog = blog(json!({ "router.deis.io/domains": "blog,www.example.com", "deis.io/wanted": "3" }));
        let endpoints =
            json!([endpoint("b", true, false), endpoint("a", true, false), endpoint("c", false, false)]);

        let routes = routed(&[blog], &[slice("blog", "blog", endpoints)]);

        let route = &routes[0];
        assert_eq!(route.own_hosts, ["blog.localhost"]);
        assert_eq!((route.domains[0].host.as_str(), route.wanted), ("www.example.com", 3));
        let backends: Vec<_> = route.backends.iter().map(|it| (it.key.as_str(), it.release)).collect();
        assert_eq!(backends, [("a", 7), ("b@2", 8)]);
        assert_eq!(route.backends[0].address.to_string(), "10.244.1.2:5000");
    }

    #[test]
    fn a_route_has_the_certificates_that_were_read_and_the_rules_of_its_annotations() {
        let blog = blog(json!({ "router.deis.io/domains": "blog,www.example.com",
            "router.deis.io/certificates": "blog:one,www.example.com:one,www.example.org:unread",
            "router.deis.io/gzip.enabled": "False" }));
        let pair = Arc::new(domain::certs::Pair { certificate: "chain".to_owned(), key: "key".to_owned() });
        let pairs = Pairs::from([(("blog".to_owned(), "one".to_owned()), pair)]);

        let routes = routes(&KubernetesSettings::new("localhost"), &[blog], &[], &HashMap::new(), &pairs);

        let [cert] = &routes[0].certificates[..] else { panic!("one certificate: {:?}", routes[0]) };
        assert_eq!(cert.domains, ["blog.localhost", "www.example.com"]);
        assert_eq!(routes[0].rules.gzip, Some(false));
    }

    #[test]
    fn a_service_says_by_its_port_or_an_annotation_that_it_speaks_http2() {
        let spoken = |port: Value, annotations: Value| {
            let metadata = json!({ "namespace": "blog", "name": "blog", "annotations": annotations,
                "labels": { "app": "blog", "heritage": "deis" } });
            let spec = json!({ "ports": [{ "name": "http", "port": 80, "appProtocol": port }] });
            let service = serde_json::from_value(json!({ "metadata": metadata, "spec": spec }));
            routed(&[Arc::new(service.expect("a Service"))], &[])[0].rules.protocol
        };
        let plain = json!({ "router.deis.io/domains": "blog" });
        let annotated = json!({ "router.deis.io/domains": "blog", "router.deis.io/appProtocol": "http" });

        assert_eq!(spoken(json!("kubernetes.io/h2c"), plain.clone()), Some(Protocol::H2c));
        assert_eq!(spoken(json!("grpc"), plain.clone()), Some(Protocol::H2c));
        assert_eq!(spoken(json!("example.com/odd"), plain.clone()), None);
        assert_eq!(spoken(json!("grpc"), annotated), Some(Protocol::Http1));
    }

    #[test]
    fn paths_go_to_services_of_the_same_namespace_that_name_a_domain() {
        let blog = blog(json!({ "router.deis.io/domains": "blog,www.example.com" }));
        let paths = |space: &str, domain: &str, patterns: &str, wanted: &str| {
            let annotations = json!({ "router.deis.io/proxyDomain": domain, "deis.io/wanted": wanted,
                "router.deis.io/proxyLocations": patterns });
            service(
                space,
                &format!("{space}-{patterns}"),
                json!({ "app": space, "heritage": "deis" }),
                annotations,
            )
        };
        let services = [
            paths("blog", "www.example.com", "two", "0"),
            paths("blog", "blog", "one", "2"),
            paths("blog", "shop", "none", "2"),
            paths("shop", "blog", "none", "2"),
            blog,
        ];

        let routes = routed(&services, &[slice("blog", "blog-one", json!([endpoint("a", true, false)]))]);

        assert_eq!((routes.len(), &routes[0].backends[..]), (1, &[][..]));
        let [one, two] = &routes[0].services[..] else { panic!("two services: {:?}", routes[0]) };
        assert_eq!((one.path_pattern.as_str(), one.wanted, one.backends[0].key.as_str()), ("one", 2, "a"));
        assert_eq!((two.path_pattern.as_str(), two.wanted, &two.backends[..]), ("two", 0, &[][..]));
    }

    #[test]
    fn a_pod_on_its_way_out_gets_no_new_request() {
        let blog = blog(json!({ "router.deis.io/domains": "blog" }));
        let endpoints = json!([endpoint("a", true, true)]);

        let routes = routed(&[blog], &[slice("blog", "blog", endpoints)]);

        assert_eq!(routes[0].backends, []);
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

        let routes = routed(&[platform, grafana, other], &[]);

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

        let routes = routed(&[bad, good], &[]);

        assert_eq!(routes.len(), 1);
        assert_eq!(routes[0].own_hosts, ["blog.localhost"]);
    }
}
