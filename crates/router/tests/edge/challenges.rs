//! Responses of hosts to certificate authorities.

use domain::challenges::Challenge;
use domain::edge::EdgeSettings;
use domain::routing::Route;
use rustls::version::TLS13;

use crate::app::App;
use crate::secure::{accepting_anything, attached, connect, handshake, pair, trusting};
use crate::visitor::Visitor;
use crate::world::{World, claim, route};

const PATH: &str = "/.well-known/acme-challenge/to-k_en";

/// A route of the app with the domain `www.foo.com`, which has a challenge.
fn challenged(app: &App) -> Route {
    let challenge = Challenge::parse("www.foo.com", "to-k_en.thumb").expect("a good one");
    Route { domains: vec![claim("www.foo.com", 1)], challenges: vec![challenge], ..route("blog", &[app]) }
}

fn get(world: &World, host: &str, path: &str) -> (u16, String) {
    let mut visitor = Visitor::connect(world);
    visitor.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let answer = visitor.answer();
    (answer.status, answer.body)
}

#[test]
fn a_challenge_is_answered_before_anything_that_an_app_asks_of_visitors() {
    let world = World::start();
    let app = App::named("blog");
    let strict = Route {
        edge: EdgeSettings {
            https_enforced: true,
            maintenance: true,
            whitelist: vec!["192.0.2.1".to_owned()],
            access_log: false,
        },
        wanted: 0,
        backends: Vec::new(),
        ..challenged(&app)
    };
    world.serve(vec![strict]);

    assert_eq!(get(&world, "www.foo.com", PATH), (200, "to-k_en.thumb\n".to_owned()));
    assert_eq!(get(&world, "WWW.Foo.com:80", PATH).0, 200);
    assert_eq!(get(&world, "www.foo.com", "/").0, 403);
    assert_eq!(app.count(), 0);
}

#[test]
fn a_token_that_nobody_waits_for_is_left_to_the_app() {
    let world = World::start();
    let app = App::named("blog");
    world.serve(vec![challenged(&app)]);

    for (host, path) in [
        ("www.foo.com", "/.well-known/acme-challenge/other"),
        ("www.foo.com", "/.well-known/acme-challenge/"),
        ("blog.test", PATH),
    ] {
        assert_eq!(get(&world, host, path), (200, "blog".to_owned()), "{host}{path}");
    }
    let mut visitor = Visitor::connect(&world);
    visitor.send(&format!("POST {PATH} HTTP/1.1\r\nHost: www.foo.com\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(visitor.answer().body, "blog");
}

#[test]
fn a_challenge_is_answered_only_where_its_domain_was_won() {
    let world = World::start();
    let (old, young) = (App::named("old"), App::named("young"));
    let first = Route { domains: vec![claim("www.foo.com", 1)], ..route("old", &[&old]) };
    let second = Route { domains: vec![claim("www.foo.com", 2)], ..challenged(&young) };
    world.serve(vec![second, first]);

    assert_eq!(get(&world, "www.foo.com", PATH), (200, "old".to_owned()));
    assert!(handshake(world.https_address, "www.foo.com", &accepting_anything(&["acme-tls/1"])).is_err());
}

#[test]
fn who_speaks_the_protocol_of_authorities_is_shown_the_answer_and_nobody_else_is() {
    let world = World::start();
    let app = App::named("blog");
    let own = pair(&["www.foo.com"]);
    let served = Route { certificates: vec![attached(&own, &["www.foo.com"])], ..challenged(&app) };
    world.serve(vec![served.clone()]);
    let authority = accepting_anything(&["acme-tls/1"]);

    let answer = handshake(world.https_address, "www.foo.com", &authority).expect("it is answered");

    // SHA-256 of the key authorization, an octet string inside the extension.
    let digest = hex("2c5d2eeec79abda24328900c657995e454ffbb2a8f1decb0a0934ef2b9216990");
    assert_eq!(answer.protocol.as_deref(), Some(&b"acme-tls/1"[..]));
    assert!(holds(&answer.certificate, &digest) && holds(&answer.certificate, b"www.foo.com"));
    assert!(handshake(world.https_address, "blog.test", &authority).is_err());
    let browser = trusting(&own, &[&TLS13], &["http/1.1", "acme-tls/1"]);
    let shown = handshake(world.https_address, "www.foo.com", &browser).expect("its own certificate");
    assert_eq!(shown.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert!(connect(world.https_address, "www.foo.com", &own).is_ok());

    world.serve(vec![Route { challenges: Vec::new(), ..served }]);
    assert!(handshake(world.https_address, "www.foo.com", &authority).is_err());
}

fn holds(der: &[u8], part: &[u8]) -> bool {
    der.windows(part.len()).any(|window| window == part)
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(byte).collect()
}
