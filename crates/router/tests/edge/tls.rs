//! Certificates and TLS versions for clients.

use std::time::Duration;

use domain::certs::Pair;
use domain::edge::TlsVersion;
use rustls::version::{TLS12, TLS13};

use crate::app::App;
use crate::secure::{attached, connect, connect_with, pair, trusting};
use crate::visitor::{Visitor, tcp};
use crate::world::{World, claim, route};

fn asked(visitor: &mut Visitor, host: &str) -> String {
    visitor.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    visitor.answer().body
}

#[test]
fn each_name_is_served_with_its_own_certificate_and_all_others_with_the_platforms() {
    let world = World::start();
    let app = App::named("blog");
    let (exact, wildcard) = (pair(&["www.foo.com"]), pair(&["*.foo.com"]));
    let platform = pair(&["blog.test", "www.bar.com"]);
    let mut blog = route("blog", &[&app]);
    blog.domains = vec![claim("www.foo.com", 1), claim("*.foo.com", 1), claim("www.bar.com", 1)];
    blog.certificates = vec![attached(&exact, &["www.foo.com"]), attached(&wildcard, &["*.foo.com"])];
    world.serve(vec![blog]);
    world.set_platform_certificate(platform.clone());

    for (host, shown) in [
        ("www.foo.com", &exact),
        ("WWW.Foo.com", &exact),
        ("shop.foo.com", &wildcard),
        ("blog.test", &platform),
        ("www.bar.com", &platform),
    ] {
        let mut visitor = connect(world.https_address, host, shown).expect(host);
        assert_eq!(asked(&mut visitor, host), "blog", "{host}");
    }
    assert!(connect(world.https_address, "www.foo.com", &platform).is_err());
}

#[test]
fn without_any_certificate_tls_works_with_one_that_was_made_at_start() {
    let world = World::start();
    let app = App::named("blog");
    world.serve(vec![route("blog", &[&app])]);
    let stranger = pair(&["blog.test"]);

    let refused = connect(world.https_address, "localhost", &stranger).err().expect("not trusted");

    // The visitor could read it and does not know who signed it, which is not the same as no TLS at all.
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
}

#[test]
fn a_certificate_is_served_only_where_its_domain_was_won() {
    let world = World::start();
    let (old, young) = (App::named("old"), App::named("young"));
    let (right, wrong) = (pair(&["www.foo.com"]), pair(&["www.foo.com", "deis.test"]));
    let mut first = route("old", &[&old]);
    (first.domains, first.certificates) =
        (vec![claim("www.foo.com", 1)], vec![attached(&right, &["www.foo.com"])]);
    let mut second = route("young", &[&young]);
    second.domains = vec![claim("www.foo.com", 2)];
    second.certificates = vec![attached(&wrong, &["www.foo.com", "deis.test"])];
    world.serve(vec![second, first]);

    assert!(connect(world.https_address, "www.foo.com", &wrong).is_err());
    let mut visitor = connect(world.https_address, "www.foo.com", &right).expect("the older claim's");
    assert_eq!(asked(&mut visitor, "www.foo.com"), "old");
    assert!(connect(world.https_address, "deis.test", &wrong).is_err());
}

#[test]
fn a_changed_certificate_drops_no_connection() {
    let world = World::start();
    let app = App::named("blog");
    let (before, after) = (pair(&["blog.test"]), pair(&["blog.test"]));
    let with = |shown: &Pair| {
        let mut blog = route("blog", &[&app]);
        blog.certificates = vec![attached(shown, &["blog.test"])];
        vec![blog]
    };
    world.serve(with(&before));
    let mut open = connect(world.https_address, "blog.test", &before).expect("the first one");
    assert_eq!(asked(&mut open, "blog.test"), "blog");

    world.serve(with(&after));

    assert_eq!(asked(&mut open, "blog.test"), "blog");
    assert!(connect(world.https_address, "blog.test", &before).is_err());
    let mut new = connect(world.https_address, "blog.test", &after).expect("the second one");
    assert_eq!(asked(&mut new, "blog.test"), "blog");
}

#[test]
fn a_pair_that_is_damaged_harms_no_other_name() {
    let world = World::start();
    let app = App::named("blog");
    let (good, platform) = (pair(&["good.com"]), pair(&["blog.test"]));
    let broken = Pair { certificate: good.certificate.clone(), key: "no key".to_owned() };
    let foreign = Pair { certificate: good.certificate.clone(), key: platform.key.clone() };
    let mut blog = route("blog", &[&app]);
    blog.domains = ["good.com", "broken.com", "foreign.com"].map(|host| claim(host, 1)).to_vec();
    blog.certificates = vec![
        attached(&broken, &["broken.com", "blog.test"]),
        attached(&foreign, &["foreign.com"]),
        attached(&good, &["good.com"]),
    ];
    world.serve(vec![blog]);
    world.set_platform_certificate(platform.clone());

    assert!(connect(world.https_address, "good.com", &good).is_ok());
    assert!(connect(world.https_address, "blog.test", &platform).is_ok());
}

#[test]
fn the_oldest_version_of_tls_can_be_raised_while_the_router_runs() {
    let world = World::start();
    let platform = pair(&["blog.test"]);
    world.set_platform_certificate(platform.clone());
    let old = trusting(&platform, &[&TLS12], &[]);
    let new = trusting(&platform, &[&TLS13], &[]);
    assert!(connect_with(world.https_address, "blog.test", &old).is_ok());

    world.tell(|rules| rules.tls_minimum = TlsVersion::V1_3);

    assert!(connect_with(world.https_address, "blog.test", &old).is_err());
    assert!(connect_with(world.https_address, "blog.test", &new).is_ok());
}

#[test]
fn who_begins_no_handshake_is_let_go() {
    let world = World::start_with(|settings| {
        let https = settings.https.as_mut().expect("it is asked for");
        https.handshake_timeout = Duration::from_millis(200);
    });

    let mut silent = Visitor::on(tcp(world.https_address));

    assert!(silent.is_closed());
}

#[test]
fn plain_http_at_the_door_of_https_is_refused() {
    let world = World::start();
    let app = App::named("blog");
    world.serve(vec![route("blog", &[&app])]);
    let mut visitor = Visitor::on(tcp(world.https_address));

    visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");

    assert!(visitor.is_closed());
    assert_eq!(app.count(), 0);
}
