//! Visitors who take their time, and visitors who come in crowds: each holds a place for so long and no longer.

use std::sync::mpsc;
use std::time::Duration;

use crate::app::App;
use crate::echo::{HEAD, echo, world_of};
use crate::visitor::{Visitor, tcp};
use crate::world::{World, route};

#[test]
fn a_head_that_comes_letter_by_letter_is_given_up_all_the_same() {
    let world = World::start_with(|settings| settings.head_timeout = Duration::from_millis(300));
    let line = tcp(world.address);
    let dripping = line.try_clone().expect("a second handle");
    let (stop, stopped) = mpsc::channel::<()>();
    let dripper = std::thread::spawn(move || {
        let mut visitor = Visitor::on(dripping);
        visitor.send("GET / HTTP/1.1\r\nX-A: ");
        // Each letter comes well within the bound of the whole.
        while stopped.recv_timeout(Duration::from_millis(20)) == Err(mpsc::RecvTimeoutError::Timeout) {
            if !visitor.try_send("a") {
                return;
            }
        }
    });

    let is_closed = Visitor::on(line).is_closed();

    drop(stop);
    dripper.join().expect("the dripper ends");
    assert!(is_closed);
}

#[test]
fn a_connection_that_asks_for_nothing_more_is_closed() {
    let app = echo();
    let world = World::start_with(|settings| settings.head_timeout = Duration::from_millis(300));
    world.serve(vec![route("echo", &[&app])]);
    let mut visitor = Visitor::connect(&world);
    visitor.send(&format!("{HEAD}Content-Length: 0\r\n\r\n"));
    assert_eq!(visitor.answer().status, 200);

    assert!(visitor.is_closed());
}

#[test]
fn connections_beyond_the_bound_wait_while_all_others_are_served() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let app = App::start("echo", move |request| {
        if request.head.starts_with("GET /slow") {
            wait.lock().expect("not poisoned").recv().expect("the test says when");
        }
        let head = request.head.clone();
        request.answer(&head);
        true
    });
    let world = World::start_with(|settings| {
        settings.workers = 1;
        settings.connections_max = 1;
    });
    world.serve(vec![route("echo", &[&app])]);
    let mut first = Visitor::connect(&world);
    first.send("GET /slow HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    world.wait_for_metric("under_way{app=\"echo\"} 1");

    let mut second = Visitor::connect(&world);
    second.send("GET /second HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    go_on.send(()).expect("the app waits");
    assert!(first.answer().body.starts_with("GET /slow "), "who is served is not closed for another");

    assert!(second.answer().body.starts_with("GET /second "));
}

#[test]
fn a_visitor_who_never_reads_holds_up_nobody_else() {
    let app = App::start("echo", |request| {
        let body = "a".repeat(8 << 20);
        request.answer(&body);
        true
    });
    let world = world_of(&app);
    let mut deaf: Vec<_> = (0..8).map(|_| Visitor::connect(&world)).collect();
    for visitor in &mut deaf {
        visitor.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    }

    let mut visitor = Visitor::connect(&world);
    visitor.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");

    assert_eq!(visitor.answer().body.len(), 8 << 20);
}
