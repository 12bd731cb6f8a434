//! Change without loss: tables are swapped under load, and nobody notices.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use domain::routing::Route;

use crate::app::{App, header};
use crate::visitor::Visitor;
use crate::world::{World, route};

/// Routes that have nothing to do with what is asked for.
const OTHERS: usize = 100;
/// Visitors who ask side by side, each over one connection.
const VISITORS: usize = 8;

fn others(backend: &App, version: usize) -> impl Iterator<Item = Route> {
    (0..OTHERS).map(move |number| route(&format!("other-{number}-{}", version % 2), &[backend]))
}

#[test]
fn a_websocket_stays_open_through_a_hundred_changes_of_other_routes() {
    let world = World::start();
    let echo = App::start("chat", |request| {
        assert!(header(&request.head, "upgrade").is_some());
        request.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut request.stream, &mut line).unwrap_or(0) > 0 {
            request.send(&std::mem::take(&mut line));
        }
        false
    });
    let other = App::named("other");
    let serve = |version| world.serve(others(&other, version).chain([route("chat", &[&echo])]).collect());
    serve(0);
    let mut visitor = Visitor::connect(&world);
    visitor.send("GET / HTTP/1.1\r\nHost: chat.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(visitor.head().starts_with("HTTP/1.1 101 "));

    for version in 1..=100 {
        serve(version);
        visitor.send(&format!("{version}\n"));
        assert_eq!(visitor.line(), format!("{version}\n"));
    }

    assert_eq!(echo.count(), 1, "one handshake in all");
}

/// Asks until it is told to stop; each answer permits one change.
fn ask(mut visitor: Visitor, answered: &mpsc::Sender<()>, asked: &AtomicU64) {
    loop {
        visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
        asked.fetch_add(1, Ordering::Relaxed);
        let answer = visitor.answer();
        assert!(answer.status == 200 && ["one", "two"].contains(&answer.body.as_str()), "{answer:?}");
        if answered.send(()).is_err() {
            return;
        }
    }
}

#[test]
fn a_thousand_changes_of_a_route_under_load_lose_no_request() {
    let world = World::start();
    let (one, two) = (App::named("one"), App::named("two"));
    let serve = |version: usize| {
        let now = if version.is_multiple_of(2) { &one } else { &two };
        others(now, version).chain([route("blog", &[now])]).collect::<Vec<_>>()
    };
    world.serve(serve(0));
    let (answered, answers) = mpsc::channel();
    let asked = Arc::new(AtomicU64::new(0));
    let visitors: Vec<_> = (0..VISITORS)
        .map(|_| {
            let (visitor, answered, asked) = (Visitor::connect(&world), answered.clone(), Arc::clone(&asked));
            std::thread::spawn(move || ask(visitor, &answered, &asked))
        })
        .collect();
    drop(answered);

    let begun = Instant::now();
    for version in 1..=1_000 {
        answers.recv().expect("visitors are answered");
        let routes: Vec<_> = serve(version).into_iter().map(Arc::new).collect();
        world.publish(|table| table.routes = routes);
    }
    drop(answers);

    for visitor in visitors {
        visitor.join().expect("no visitor is let down");
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (asked, served) = (asked.load(Ordering::Relaxed), one.count() + two.count());
    println!("1,000 changes and {asked} requests in {seconds:.2} s");
    assert!(asked >= 1_000 && served >= asked, "{asked} asked, {served} reached an app");
    assert!(one.count() > 0 && two.count() > 0, "both were routed to");
}
