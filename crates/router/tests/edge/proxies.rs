//! Proxies in front of the router: whom it believes.

use domain::networks::Network;

use crate::app::{App, header};
use crate::visitor::{Answer, Visitor};
use crate::world::{World, route};

fn world_of(app: &App) -> World {
    let world = World::start();
    world.serve(vec![route("echo", &[app])]);
    world
}

fn echo() -> App {
    App::start("echo", |request| {
        let head = request.head.clone();
        request.answer(&head);
        true
    })
}

fn ask(world: &World, before: &str, headers: &str) -> Answer {
    let mut visitor = Visitor::connect(world);
    visitor.send(&format!("{before}GET / HTTP/1.1\r\nHost: echo.test\r\n{headers}\r\n"));
    visitor.answer()
}

#[test]
fn a_trusted_proxy_tells_who_asks_and_how() {
    let app = echo();
    let world = world_of(&app);
    let mut listed = route("echo", &[&app]);
    (listed.whitelist, listed.https_enforced) = (vec!["192.0.2.1".to_owned()], true);
    world.serve(vec![listed]);
    let told = "X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 444\r\n";
    assert_eq!(ask(&world, "", told).status, 403);

    world.tell(|rules| rules.trusted_proxies = vec![Network::parse("127.0.0.1").expect("an address")]);

    let answer = ask(&world, "", told);
    assert_eq!(answer.status, 200);
    for (name, value) in
        [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"), ("x-forwarded-port", "444")]
    {
        assert_eq!(header(&answer.body, name), Some(value));
    }
    let plain = ask(&world, "", "X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(
        header(&plain.head, "location"),
        Some("https://echo.test/"),
        "the proxy has a door of its own"
    );
}

#[test]
fn the_proxy_protocol_tells_who_asks_and_is_required_once_it_is_on() {
    let app = echo();
    let world = world_of(&app);
    world.tell(|rules| rules.proxy_protocol = true);

    let answer = ask(&world, "PROXY TCP4 192.0.2.7 127.0.0.1 5000 80\r\n", "X-Forwarded-For: 6.6.6.6\r\n");

    assert_eq!(header(&answer.body, "x-forwarded-for"), Some("192.0.2.7"));
    let mut without = Visitor::connect(&world);
    without.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    assert!(without.is_closed());
    assert_eq!(app.count(), 1);
}
