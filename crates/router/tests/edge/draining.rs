use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use crate::app::App;
use crate::visitor::Visitor;
use crate::world::{World, route};

#[test]
fn a_request_under_way_ends_well_when_the_router_stops() {
    let world = World::start();
    let (arrived, arrival) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let app = App::start("slow", move |request| {
        arrived.send(()).expect("the test listens");
        wait.lock().expect("not poisoned").recv().expect("the test says when");
        request.answer("done");
        true
    });
    world.serve(vec![route("slow", &[&app])]);
    let mut visitor = Visitor::connect(&world);
    visitor.send("GET / HTTP/1.1\r\nHost: slow.test\r\n\r\n");
    arrival.recv().expect("the request arrives");

    world.shut_down();
    go_on.send(()).expect("the app waits");

    assert_eq!(visitor.answer().body, "done");
    world.join();
}

#[test]
fn a_backend_that_left_the_table_is_reported_idle_when_its_last_request_has_ended() {
    let world = World::start();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let old = App::start("old", move |request| {
        wait.lock().expect("not poisoned").recv().expect("the test says when");
        request.answer("old");
        true
    });
    world.serve(vec![route("blog", &[&old])]);
    let mut visitor = Visitor::connect(&world);
    visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
    world.wait_for_report(|report| report.in_flight.get("old") == Some(&1));

    let new = App::named("new");
    world.serve(vec![route("blog", &[&new])]);
    world.wait_for_report(|report| report.table_version == 2 && report.in_flight.get("old") == Some(&1));
    go_on.send(()).expect("the app waits");

    assert_eq!(visitor.answer().body, "old");
    world.wait_for_report(|report| report.table_version == 2 && report.in_flight.is_empty());
}

#[test]
fn visitors_who_come_while_the_router_stops_are_answered_and_told_to_come_back_elsewhere() {
    let world = World::start();
    let app = App::named("blog");
    world.serve(vec![route("blog", &[&app])]);
    let mut old = Visitor::connect(&world);
    old.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
    assert!(!old.answer().head.contains("close"));

    world.shut_down();

    let mut new = Visitor::connect(&world);
    for visitor in [&mut old, &mut new] {
        // A worker may answer once more before it has heard of the stop.
        let is_last = |visitor: &mut Visitor| {
            visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
            let answer = visitor.answer();
            assert_eq!((answer.status, answer.body.as_str()), (200, "blog"));
            answer.head.to_ascii_lowercase().contains("connection: close")
        };
        while !is_last(visitor) {}
        assert!(visitor.is_closed());
    }
    world.join();
}
