//! Rate and concurrency limits.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use domain::edge::BoundRules;
use domain::networks::Network;
use testkit::{WAIT_MAX, wait_until_blocking};

use crate::app::{App, header};
use crate::visitor::{Answer, Visitor, get};
use crate::world::{World, route};

const HOUR_NS: u64 = 3_600_000_000_000;

/// Two requests, and then one an hour.
fn two() -> BoundRules {
    BoundRules { every_ns: Some(Some(HOUR_NS)), burst: Some(1), at_once_max: None }
}

fn ask_as(world: &World, address: &str) -> Answer {
    let mut visitor = Visitor::connect(world);
    visitor.send(&format!("GET / HTTP/1.1\r\nHost: blog.test\r\nX-Forwarded-For: {address}\r\n\r\n"));
    visitor.answer()
}

#[test]
fn an_address_that_asks_too_often_is_told_when_to_come_back() {
    let world = World::start();
    let app = App::named("blog");
    let mut blog = route("blog", &[&app]);
    blog.rules.limits.client = two();
    world.serve(vec![blog, route("shop", &[&app])]);

    let statuses: Vec<_> = (0..4).map(|_| get(&world, "blog.test", "/").status).collect();

    assert_eq!(statuses, [200, 200, 429, 429], "all workers count together");
    let refused = get(&world, "blog.test", "/");
    let wait: u64 = header(&refused.head, "retry-after").expect("a time").parse().expect("seconds");
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert_eq!(app.count(), 2);
    assert_eq!(get(&world, "shop.test", "/").status, 200, "each app by itself");
}

#[test]
fn the_address_that_a_trusted_proxy_tells_counts() {
    let world = World::start();
    let app = App::named("blog");
    let mut blog = route("blog", &[&app]);
    blog.rules.limits.client = two();
    world.serve(vec![blog]);
    world.tell(|rules| rules.trusted_proxies = vec![Network::parse("127.0.0.1").expect("an address")]);

    let one: Vec<_> = (0..3).map(|_| ask_as(&world, "192.0.2.1").status).collect();
    let other = ask_as(&world, "192.0.2.2").status;

    assert_eq!((&one[..], other), (&[200, 200, 429][..], 200));
}

#[test]
fn an_app_has_a_bound_for_all_addresses_together() {
    let world = World::start();
    let app = App::named("blog");
    world.serve(vec![route("blog", &[&app])]);
    world.tell(|rules| {
        rules.trusted_proxies = vec![Network::parse("127.0.0.1").expect("an address")];
        rules.limits.app = two();
    });

    let statuses: Vec<_> = (1..=3).map(|n| ask_as(&world, &format!("192.0.2.{n}")).status).collect();

    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn requests_under_way_are_bounded_until_their_answer_has_ended() {
    let world = World::start();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let app = App::start("blog", move |request| {
        if request.head.starts_with("GET /slow") {
            request.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbe");
            wait.lock().expect("not poisoned").recv().expect("the test says when");
            request.send("gn");
        } else {
            request.answer("quick");
        }
        true
    });
    let mut blog = route("blog", &[&app]);
    blog.rules.limits.client.at_once_max = Some(Some(1));
    world.serve(vec![blog]);
    let mut slow = Visitor::connect(&world);
    slow.send("GET /slow HTTP/1.1\r\nHost: blog.test\r\n\r\n");
    assert!(slow.head().starts_with("HTTP/1.1 200"));

    let refused = get(&world, "blog.test", "/");
    assert_eq!((refused.status, header(&refused.head, "retry-after")), (429, Some("1")));
    go_on.send(()).expect("the app waits");
    assert_eq!(slow.bytes(4), b"begn");

    // The end of the body is seen by the visitor a moment before the router has given the place back.
    wait_until_blocking("a place is free", WAIT_MAX, || {
        (get(&world, "blog.test", "/").status == 200).then_some(())
    });
}
