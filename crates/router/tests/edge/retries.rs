use std::time::{Duration, Instant};

use crate::app::App;
use crate::visitor::{Visitor, get};
use crate::world::{World, route};

#[test]
fn a_backend_that_refuses_connections_costs_no_request() {
    let world = World::start();
    let (gone, alive) = (App::gone("gone"), App::named("alive"));
    world.serve(vec![route("blog", &[&gone, &alive])]);

    for _ in 0..20 {
        let mut visitor = Visitor::connect(&world);
        visitor.send("POST / HTTP/1.1\r\nHost: blog.test\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(visitor.answer().body, "alive");
    }
}

#[test]
fn a_get_is_sent_again_when_a_reused_connection_turns_out_closed() {
    let world = World::start_with(|settings| settings.workers = 1);
    let app = App::start("flaky", |request| {
        // The second request on each connection finds it closed.
        if request.turn == 0 {
            request.answer("fine");
        }
        request.turn == 0
    });
    world.serve(vec![route("flaky", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    for _ in 0..5 {
        visitor.send("GET / HTTP/1.1\r\nHost: flaky.test\r\n\r\n");
        assert_eq!(visitor.answer().body, "fine");
    }
}

#[test]
fn a_post_is_never_sent_twice() {
    let world = World::start();
    let app = App::start("once", |_| false);
    world.serve(vec![route("once", &[&app])]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("POST / HTTP/1.1\r\nHost: once.test\r\nContent-Length: 2\r\n\r\nhi");

    assert_eq!(visitor.answer().status, 502);
    assert_eq!(app.count(), 1);
}

#[test]
fn a_request_waits_for_a_first_backend() {
    let world = World::start();
    world.serve(vec![route("slow", &[])]);
    let mut visitor = Visitor::connect(&world);
    visitor.send("GET / HTTP/1.1\r\nHost: slow.test\r\n\r\n");

    let app = App::named("slow");
    world.serve(vec![route("slow", &[&app])]);

    assert_eq!(visitor.answer().body, "slow");
}

#[test]
fn waiting_is_bounded_in_time_and_number_and_pointless_at_zero_replicas() {
    let world = World::start_with(|settings| {
        settings.workers = 1;
        settings.hold_timeout = Duration::from_millis(300);
        settings.held_requests_max = 1;
    });
    world.serve(vec![route("slow", &[])]);
    let mut first = Visitor::connect(&world);
    let begun = Instant::now();
    first.send("GET / HTTP/1.1\r\nHost: slow.test\r\n\r\n");
    // Asked until the first one is seen waiting: then the second is turned away at once.
    let crowded = loop {
        let answer = get(&world, "slow.test", "/");
        if answer.body.contains("too many") || begun.elapsed() > Duration::from_secs(5) {
            break answer;
        }
    };
    assert_eq!(first.answer().status, 503);
    assert!(crowded.body.contains("too many") || begun.elapsed() >= Duration::from_millis(300));

    let mut none = route("slow", &[]);
    none.wanted = 0;
    world.serve(vec![none]);
    let begun = Instant::now();
    assert_eq!(get(&world, "slow.test", "/").status, 503);
    assert!(begun.elapsed() < Duration::from_millis(250), "it must not wait for what is not wanted");
}
