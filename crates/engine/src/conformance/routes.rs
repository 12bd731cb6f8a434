//! Promises of the route table.

use std::sync::Arc;

use domain::certs::{AttachedCert, Pair};
use domain::challenges::Challenge;
use domain::deployment::Workload;
use domain::edge::EdgeSettings;
use domain::routing::{AppRouting, Backend, Claim, PathService, Route};

use super::Subject;
use super::setting::*;
use crate::Engine;

/// The route has every field of the routing, and each backend a key of its own.
pub async fn a_route_shows_hosts_settings_and_ready_backends(subject: &dyn Subject) {
    let engine = subject.engine();
    let custom = Claim { host: "www.example.com".to_owned(), since_ms: 7 };
    let mut desired = routing();
    desired.domains.push(custom.clone());
    desired.edge = EdgeSettings {
        maintenance: true,
        access_log: true,
        whitelist: vec!["10.0.0.0/8".to_owned()],
        https_enforced: true,
    };
    engine.route(&desired).await.expect("reachable");
    let before = engine.watch().borrow().version;

    deploy_well(&engine, &web_of(subject, 2, 2)).await;

    let route = route_becomes(&engine, |route| route.is_some_and(|route| route.backends.len() == 2)).await;
    let route = route.expect("there");
    assert_eq!(route.own_hosts, ["blog.localhost"]);
    assert_eq!(route.domains, [custom]);
    assert_eq!((route.edge, route.wanted), (desired.edge, 2));
    assert!(route.backends.iter().all(|backend| backend.release == 2));
    assert_ne!(route.backends[0].key, route.backends[1].key);
    assert!(engine.watch().borrow().version > before);
}

/// Without `routable`, or without a target, the app has no route; it comes back with both.
pub async fn an_app_that_is_not_routable_is_not_in_the_table(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;
    route_becomes(&engine, |route| route.is_some_and(|route| route.backends.len() == 1)).await;

    engine.route(&AppRouting { routable: false, ..routing() }).await.expect("reachable");
    route_becomes(&engine, |route| route.is_none()).await;
    engine.route(&AppRouting { target: None, ..routing() }).await.expect("reachable");
    route_becomes(&engine, |route| route.is_none()).await;

    engine.route(&routing()).await.expect("reachable");
    route_becomes(&engine, |route| route.is_some_and(|route| route.backends.len() == 1)).await;
}

/// Certificates are replaced and removed without a rollout.
pub async fn a_route_has_the_certificates_of_its_domains(subject: &dyn Subject) {
    let engine = subject.engine();
    let cert = |key: &str| AttachedCert {
        name: "foo-com".to_owned(),
        domains: vec!["blog".to_owned(), "www.example.com".to_owned()],
        pair: Arc::new(Pair { certificate: "chain".to_owned(), key: key.to_owned() }),
    };
    let served = |route: Option<&Route>, key: &str| {
        route.is_some_and(|route| match &route.certificates[..] {
            [cert] => cert.pair.key == key && cert.domains == ["blog.localhost", "www.example.com"],
            _ => false,
        })
    };
    for key in ["first", "second"] {
        let desired = AppRouting { certificates: vec![cert(key)], ..routing() };
        engine.route(&desired).await.expect("reachable");
        route_becomes(&engine, |route| served(route, key)).await;
    }

    engine.route(&routing()).await.expect("reachable");
    route_becomes(&engine, |route| route.is_some_and(|route| route.certificates.is_empty())).await;
}

/// Responses to ACME challenges come and go with the routing.
pub async fn a_route_has_the_challenges_of_its_domains_while_they_are_wanted(subject: &dyn Subject) {
    let engine = subject.engine();
    let domains = ["www.example.com", "example.com"].map(|host| Claim { host: host.to_owned(), since_ms: 7 });
    let challenge = |host: &str| Challenge::parse(host, "some-to_ken.Thumb-Print").expect("a good one");
    let challenges = vec![challenge("www.example.com"), challenge("example.com")];
    let before = AppRouting { domains: domains.to_vec(), ..routing() };
    let desired = AppRouting { challenges: challenges.clone(), ..before.clone() };

    engine.route(&desired).await.expect("reachable");
    route_becomes(&engine, |route| route.is_some_and(|route| route.challenges == challenges)).await;
    engine.route(&before).await.expect("reachable");
    route_becomes(&engine, |route| route.is_some_and(|route| route.challenges.is_empty())).await;
}

/// Replicas of other process types than the target are no backends.
pub async fn a_route_goes_to_the_target_alone(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &worker(subject, 2)).await;

    let route = route_becomes(&engine, |route| route.is_some()).await.expect("there");

    assert_eq!((route.wanted, route.backends), (0, vec![]));
}

/// Services have backends of their own and leave those of the target alone.
pub async fn a_path_goes_to_its_own_process_type(subject: &dyn Subject) {
    let engine = subject.engine();
    let hooks = Workload { id: id("hooks"), ..web_of(subject, 2, 2) };
    let service = PathService { process: hooks.id.process.clone(), path_pattern: "/hook,~ ^/x/".to_owned() };
    let desired = AppRouting { services: vec![service], ..routing() };
    engine.route(&desired).await.expect("reachable");
    let ready = |route: Option<&Route>, count: u32| {
        let is_whole = |wanted: u32, backends: &[Backend]| wanted as usize == backends.len();
        route.is_some_and(|route| match &route.services[..] {
            [hooks] => {
                (route.wanted, hooks.wanted) == (1, count)
                    && is_whole(1, &route.backends)
                    && is_whole(count, &hooks.backends)
            }
            _ => false,
        })
    };
    let keys = |backends: &[Backend]| backends.iter().map(|it| it.key.clone()).collect::<Vec<_>>();

    deploy_well(&engine, &web(subject, 2)).await;
    let before = route_becomes(&engine, |route| ready(route, 0)).await.expect("there");
    deploy_well(&engine, &hooks).await;
    let after = route_becomes(&engine, |route| ready(route, 2)).await.expect("there");
    engine.route(&routing()).await.expect("reachable");
    let back = route_becomes(&engine, |route| route.is_some_and(|it| it.services.is_empty())).await;

    let of_hooks = &after.services[0];
    assert_eq!(of_hooks.path_pattern, "/hook,~ ^/x/");
    assert!(keys(&of_hooks.backends).iter().all(|key| !keys(&after.backends).contains(key)));
    assert_eq!(keys(&after.backends), keys(&before.backends));
    assert_eq!(keys(&back.expect("there").backends), keys(&before.backends));
}

/// Routers see the wanted number before the replicas are there, and each replica once it is ready.
pub async fn a_route_follows_the_number_of_replicas(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    for count in [1, 3, 2] {
        deploy_well(&engine, &web_of(subject, 2, count)).await;

        let is_right = |route: &Route| route.wanted == count && route.backends.len() == count as usize;
        route_becomes(&engine, |route| route.is_some_and(is_right)).await;
    }
}

/// The route stays, so that requests get an answer of the platform, and is used again.
pub async fn a_route_whose_workload_is_removed_has_no_backends(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;

    Engine::remove(&*engine, &id("web")).await.expect("reachable");

    let is_empty = |route: &Route| route.wanted == 0 && route.backends.is_empty();
    route_becomes(&engine, |route| route.is_some_and(is_empty)).await;
    deploy_well(&engine, &web(subject, 3)).await;
    route_becomes(&engine, |route| route.is_some_and(|route| route.backends.len() == 1)).await;
}
