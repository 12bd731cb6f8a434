//! Settings of routers and apps, as requests meet them.

use std::io::Read as _;
use std::time::Duration;

use domain::networks::Network;

use crate::app::{App, header};
use crate::visitor::{Visitor, get};
use crate::world::{World, route};

fn network(text: &str) -> Network {
    Network::parse(text).expect("a network")
}

fn echo() -> App {
    App::start("echo", |request| {
        let head = request.head.clone();
        request.answer(&head);
        true
    })
}

#[test]
fn whitelists_of_the_router_and_of_the_app_work_together() {
    let world = World::start();
    let app = echo();
    let status = |own: &str| {
        let mut listed = route("echo", &[&app]);
        listed.edge.whitelist = own.split_whitespace().map(str::to_owned).collect();
        world.serve(vec![listed]);
        get(&world, "echo.test", "/").status
    };
    assert_eq!((status(""), status("192.0.2.1"), status("192.0.2.1 127.0.0.0/8")), (200, 403, 200));

    world.tell(|rules| rules.default_whitelist = vec![network("127.0.0.1")]);
    assert_eq!((status(""), status("192.0.2.1")), (200, 200));
    world.tell(|rules| rules.whitelist_overrides = true);
    assert_eq!((status(""), status("192.0.2.1")), (200, 403));
    world.tell(|rules| (rules.default_whitelist, rules.whitelists_enforced) = (Vec::new(), true));
    assert_eq!((status(""), status("127.0.0.1")), (403, 200));
}

#[test]
fn https_can_be_enforced_for_all() {
    let world = World::start();
    let app = echo();
    world.serve(vec![route("echo", &[&app])]);

    world.tell(|rules| rules.https_enforced = true);

    assert_eq!(get(&world, "echo.test", "/").status, 301);
}

#[test]
fn maintenance_shows_a_page() {
    let world = World::start();
    let mut down = route("blog", &[]);
    down.edge.maintenance = true;
    world.serve(vec![down]);

    let answer = get(&world, "blog.test", "/");

    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("text/html") && answer.body.contains("Site Maintenance"), "{answer:?}");
}

#[test]
fn hosts_of_nobody_go_to_the_default_app() {
    let world = World::start();
    let (home, blog) = (App::named("home"), App::named("blog"));
    world.serve(vec![route("home", &[&home]), route("blog", &[&blog])]);
    assert_eq!(get(&world, "nobody.example", "/").status, 404);

    world.tell(|rules| rules.default_app = Some("home".to_owned()));

    assert_eq!(get(&world, "nobody.example", "/").body, "home");
    assert_eq!(get(&world, "blog.test", "/").body, "blog");
}

#[test]
fn an_app_has_its_own_bound_of_a_body() {
    let world = World::start();
    let app = App::named("small");
    let mut small = route("small", &[&app]);
    small.rules.body_bytes_max = Some(Some(3));
    world.serve(vec![small]);
    let post = |body: &str| {
        let mut visitor = Visitor::connect(&world);
        let length = body.len();
        visitor
            .send(&format!("POST / HTTP/1.1\r\nHost: small.test\r\nContent-Length: {length}\r\n\r\n{body}"));
        visitor.answer().status
    };

    assert_eq!((post("abc"), post("abcd")), (200, 413));
}

#[test]
fn an_app_that_stays_silent_for_its_own_time_is_given_up() {
    let world = World::start();
    let app = App::start("slow", |request| {
        // Never answers; ends when the router hangs up.
        let _ = request.stream.read(&mut [0]);
        false
    });
    let mut slow = route("slow", &[&app]);
    slow.rules.timeout = Some(Duration::from_millis(100));
    world.serve(vec![slow]);

    assert_eq!(get(&world, "slow.test", "/").status, 504);
}

#[test]
fn request_ids_go_to_app_and_visitor() {
    let world = World::start();
    let app = echo();
    world.serve(vec![route("echo", &[&app])]);
    world.tell(|rules| (rules.request_ids, rules.request_start) = (true, true));
    let mut visitor = Visitor::connect(&world);

    visitor
        .send("GET / HTTP/1.1\r\nHost: echo.test\r\nX-Request-Id: forged\r\nX-Correlation-Id: abc\r\n\r\n");
    let answer = visitor.answer();

    let id = header(&answer.head, "x-request-id").expect("an id");
    assert_eq!(id.len(), 32);
    assert_eq!(header(&answer.body, "x-request-id"), Some(id));
    assert_eq!(header(&answer.body, "x-correlation-id"), Some(format!("abc, {id}").as_str()));
    assert_eq!(header(&answer.head, "x-correlation-id"), header(&answer.body, "x-correlation-id"));
    assert!(header(&answer.body, "x-request-start").is_some_and(|start| start.starts_with("t=")));
}

#[test]
fn a_visitor_comes_back_to_the_replica_that_answered_before() {
    let world = World::start();
    let (one, two, three) = (App::named("one"), App::named("two"), App::named("three"));
    let serve = |apps: &[&App]| {
        let mut sticky = route("blog", apps);
        sticky.rules.sticky = Some(true);
        world.serve(vec![sticky]);
    };
    serve(&[&one, &two, &three]);
    let ask = |cookie: &str| {
        let mut visitor = Visitor::connect(&world);
        visitor.send(&format!("GET / HTTP/1.1\r\nHost: blog.test\r\nCookie: a=1{cookie}\r\n\r\n"));
        visitor.answer()
    };
    let first = ask("");
    let cookie = header(&first.head, "set-cookie").expect("a cookie").split(';').next().expect("a pair");
    let cookie = format!("; {cookie}");

    for _ in 0..20 {
        let again = ask(&cookie);
        assert_eq!((again.body.as_str(), header(&again.head, "set-cookie")), (first.body.as_str(), None));
    }
    let others: Vec<&App> = [&one, &two, &three].into_iter().filter(|app| app.key != first.body).collect();
    serve(&others);
    let elsewhere = ask(&cookie);
    assert_ne!(elsewhere.body, first.body);
    assert!(header(&elsewhere.head, "set-cookie").is_some_and(|new| !new.starts_with(&cookie[2..])));
}

#[test]
fn an_app_can_do_without_what_the_router_adds() {
    let world = World::start();
    let app = echo();
    let mut own = route("echo", &[&app]);
    (own.rules.request_start_disabled, own.rules.referrer_policy) = (true, Some(None));
    world.serve(vec![own]);
    world.tell(|rules| {
        (rules.request_start, rules.referrer_policy) = (true, Some("origin".to_owned()));
    });

    let without = get(&world, "echo.test", "/");
    world.serve(vec![route("echo", &[&app])]);
    let with = get(&world, "echo.test", "/");

    assert_eq!(header(&without.body, "x-request-start"), None);
    assert_eq!(header(&without.head, "referrer-policy"), None);
    assert!(header(&with.body, "x-request-start").is_some());
    assert_eq!(header(&with.head, "referrer-policy"), Some("origin"));
}
