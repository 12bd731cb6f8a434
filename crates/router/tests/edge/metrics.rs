use std::time::Duration;

use crate::app::App;
use crate::visitor::Visitor;
use crate::world::{World, route};

#[test]
fn requests_and_bytes_are_counted_for_each_app() {
    let world = World::start();
    let blog = App::named("blog");
    world.serve(vec![route("blog", &[&blog])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("POST / HTTP/1.1\r\nHost: blog.test\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(visitor.answer().body, "blog");
    visitor.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
    assert_eq!(visitor.answer().status, 404);

    for line in [
        "requests_total{app=\"blog\",class=\"2xx\"} 1",
        "requests_total{app=\"blog\",class=\"4xx\"} 0",
        "requests_total{app=\"-\",class=\"4xx\"} 1",
        "request_seconds_count{app=\"blog\"} 1",
        "received_bytes_total{app=\"blog\"} 2",
        "sent_bytes_total{app=\"blog\"} 4",
        "under_way{app=\"blog\"} 0",
        "connections 1",
    ] {
        world.wait_for_metric(line);
    }
}

#[test]
fn a_switched_connection_is_under_way_until_it_ends() {
    let world = World::start();
    let app = App::start("chat", |request| {
        request.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut request.stream, &mut line).unwrap_or(0) > 0 {
            request.send(&format!("you said {line}"));
            line.clear();
        }
        false
    });
    world.serve(vec![route("chat", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("GET / HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n");
    assert!(visitor.head().starts_with("HTTP/1.1 101 "));
    visitor.send("hello\n");
    assert_eq!(visitor.line(), "you said hello\n");

    world.wait_for_metric("under_way{app=\"chat\"} 1");
    world.wait_for_metric("received_bytes_total{app=\"chat\"} 6");
    world.wait_for_metric("sent_bytes_total{app=\"chat\"} 15");
    drop(visitor);
    world.wait_for_metric("under_way{app=\"chat\"} 0");
    world.wait_for_metric("connections 0");
}

#[test]
fn an_attempt_that_reaches_nobody_is_a_retry() {
    let world = World::start_with(|settings| settings.hold_timeout = Duration::from_millis(1));
    world.serve(vec![route("blog", &[&App::gone("gone")])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");

    assert_eq!(visitor.answer().status, 503);
    world.wait_for_metric("requests_total{app=\"blog\",class=\"5xx\"} 1");
    let metrics = world.metrics();
    let none = "workflow_router_retries_total{app=\"blog\"} 0";
    assert!(metrics.contains("workflow_router_retries_total{app=\"blog\"} ") && !metrics.contains(none));
}

#[test]
fn what_was_counted_outlives_a_table_and_ends_with_the_app() {
    let world = World::start();
    let (blog, shop) = (App::named("blog"), App::named("shop"));
    world.serve(vec![route("blog", &[&blog])]);
    let mut visitor = Visitor::connect(&world);
    let mut ask = || {
        visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
        visitor.answer().status
    };
    assert_eq!(ask(), 200);

    world.serve(vec![route("shop", &[&shop]), route("blog", &[&blog])]);
    assert_eq!(ask(), 200);
    world.wait_for_metric("requests_total{app=\"blog\",class=\"2xx\"} 2");

    world.serve(vec![route("shop", &[&shop])]);
    assert!(!world.metrics().contains("app=\"blog\""));
}
