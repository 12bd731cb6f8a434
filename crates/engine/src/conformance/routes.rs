//! Promises of the route table.

use std::sync::Arc;

use domain::certs::{AttachedCert, Pair};
use domain::routing::{AppRouting, Claim, Route};

use super::Subject;
use super::setting::*;

pub async fn a_route_shows_hosts_settings_and_ready_backends(subject: &dyn Subject) {
    let engine = subject.engine();
    let custom = Claim { host: "www.example.com".to_owned(), since_ms: 7 };
    let mut wish = routing();
    wish.domains.push(custom.clone());
    wish.whitelist.push("10.0.0.0/8".to_owned());
    (wish.maintenance, wish.https_enforced) = (true, true);
    engine.route(&wish).await.expect("reachable");
    let before = engine.watch().borrow().version;

    deploy_well(&engine, &web_of(subject, 2, 2)).await;

    let route = route_becomes(&engine, |route| route.is_some_and(|route| route.backends.len() == 2)).await;
    let route = route.expect("there");
    assert_eq!(route.own_hosts, ["blog.localhost"]);
    assert_eq!(route.domains, [custom]);
    assert_eq!(route.whitelist, ["10.0.0.0/8"]);
    assert_eq!((route.maintenance, route.https_enforced, route.wanted), (true, true, 2));
    assert!(route.backends.iter().all(|backend| backend.release == 2));
    assert_ne!(route.backends[0].key, route.backends[1].key);
    assert!(engine.watch().borrow().version > before);
}

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
        let wish = AppRouting { certificates: vec![cert(key)], ..routing() };
        engine.route(&wish).await.expect("reachable");
        route_becomes(&engine, |route| served(route, key)).await;
    }

    engine.route(&routing()).await.expect("reachable");
    route_becomes(&engine, |route| route.is_some_and(|route| route.certificates.is_empty())).await;
}

pub async fn a_route_goes_to_the_target_alone(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &worker(subject, 2)).await;

    let route = route_becomes(&engine, |route| route.is_some()).await.expect("there");

    assert_eq!((route.wanted, route.backends), (0, vec![]));
}
