//! Lines in apps' logs: requests, and releases that have left.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use domain::routing::Route;

use crate::app::App;
use crate::visitor::{Visitor, tcp};
use crate::world::{World, route};

/// The route of `blog` to these releases.
fn blog(releases: &[(&App, u64)]) -> Route {
    let apps: Vec<_> = releases.iter().map(|(app, _)| *app).collect();
    let mut route = route("blog", &apps);
    for (backend, (_, release)) in route.backends.iter_mut().zip(releases) {
        backend.release = *release;
    }
    route
}

fn told(mut route: Route) -> Route {
    route.rules.access_log = Some(true);
    route
}

#[test]
fn requests_of_an_app_that_asks_for_it_are_told_in_its_log() {
    let world = World::start();
    let app = App::named("blog");
    let (mut other, silent) = (Visitor::connect(&world), route("silent", &[&app]));
    world.serve(vec![told(blog(&[(&app, 5)])), silent]);
    let mut visitor = Visitor::connect(&world);

    other.send("GET / HTTP/1.1\r\nHost: silent.test\r\n\r\n");
    assert_eq!(other.answer().status, 200);
    visitor.send("POST /a\"b?token=secret HTTP/1.1\r\nHost: BLOG.test\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(visitor.answer().body, "blog");

    let lines = world.log("blog", 1);
    let line = &lines[0];
    let (before, after) = line.split_once(" service=").expect("it took some time");
    assert_eq!(
        before,
        r#"deis[router]: at=info method=POST path="/a\"b" host=blog.test fwd="127.0.0.1" release=v5"#
    );
    assert!(after.ends_with("ms status=200 bytes=4 protocol=http"), "{line}");
    assert!(world.log("silent", 0).is_empty());
    // The log costs an app nothing of the fast path.
    world.wait_for_metric("path_requests_total{path=\"fast\"} 2");
    world.wait_for_metric("path_requests_total{path=\"slow\"} 0");
}

#[test]
fn the_bytes_of_a_compressed_answer_are_those_that_went_out_on_both_ways() {
    for is_fast in [true, false] {
        let world = World::start_with(|settings| settings.fast_path = is_fast);
        let app = App::start("blog", |request| {
            let text = "words ".repeat(1_000);
            request.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6000\r\n\r\n{text}"
            ));
            true
        });
        world.serve(vec![told(blog(&[(&app, 5)]))]);
        let mut stream = tcp(world.address);
        let request =
            "GET / HTTP/1.1\r\nHost: blog.test\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it is read");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an end");

        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
        assert!(String::from_utf8_lossy(&answer[..head]).contains("content-encoding: gzip"));
        let bytes = chunks(&answer[head..]);
        assert!(bytes < 1_000 && world.log("blog", 1)[0].contains(&format!(" status=200 bytes={bytes} ")));
    }
}

/// Bytes of a body in chunks, without their framing.
fn chunks(mut body: &[u8]) -> usize {
    let mut bytes = 0;
    loop {
        let end = body.windows(2).position(|pair| pair == b"\r\n").expect("a size");
        let size = std::str::from_utf8(&body[..end]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a number");
        if size == 0 {
            return bytes;
        }
        bytes += size;
        body = &body[end + 2 + size + 2..];
    }
}

#[test]
fn refusals_and_losses_are_told_as_what_they_are() {
    let world = World::start();
    let rude = App::start("rude", |_| false);
    let mut route = told(blog(&[(&rude, 5)]));
    world.serve(vec![route.clone()]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
    assert_eq!(visitor.answer().status, 502);
    route.edge.maintenance = true;
    world.serve(vec![route]);
    visitor.send("HEAD / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
    assert!(visitor.head().starts_with("HTTP/1.1 503 "));

    let lines = world.log("blog", 2);
    let closed =
        r#"deis[router]: at=error desc="the app closed the connection without an answer" method=GET"#;
    assert!(lines[0].starts_with(closed) && lines[0].contains(" status=502 "), "{lines:?}");
    assert!(lines[1].starts_with("deis[router]: at=info method=HEAD "), "{lines:?}");
    assert!(lines[1].contains(" status=503 bytes=0 "), "{lines:?}");
}

#[test]
fn lines_of_requests_under_way_when_the_router_stops_are_not_lost() {
    let world = World::start();
    let app = App::named("blog");
    world.serve(vec![told(blog(&[(&app, 5)]))]);
    let mut visitor = Visitor::connect(&world);
    visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
    assert_eq!(visitor.answer().status, 200);

    let told = world.stop_and_read("blog");

    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_release_that_left_tells_what_it_served_and_lost_and_had_in_flight() {
    let world = World::start();
    let (arrived, arrival) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let old = App::start("old", move |request| {
        if request.head.starts_with("GET /lose") {
            return false;
        }
        if request.head.starts_with("GET /slow") {
            arrived.send(()).expect("the test listens");
            wait.lock().expect("not poisoned").recv().expect("the test says when");
        }
        request.answer("old");
        true
    });
    let new = App::named("new");
    world.serve(vec![blog(&[(&old, 4)])]);
    let ask = |path: &str| {
        let mut visitor = Visitor::connect(&world);
        visitor.send(&format!("GET {path} HTTP/1.1\r\nHost: blog.test\r\n\r\n"));
        visitor
    };
    assert_eq!(ask("/").answer().body, "old");
    assert_eq!(ask("/lose").answer().status, 502);
    let mut slow = ask("/slow");
    arrival.recv().expect("the request arrives");

    // Both serve for a while, as in a roll; then the old release leaves.
    world.serve(vec![blog(&[(&old, 4), (&new, 5)])]);
    world.serve(vec![blog(&[(&new, 5)])]);
    world.wait_for_metric("release_under_way_at_roll{app=\"blog\",release=\"v4\"} 1");
    assert!(world.log("blog", 0).is_empty(), "its last request has not ended");
    go_on.send(()).expect("the app waits");
    assert_eq!(slow.answer().body, "old");

    let text = "deis[router]: WARN v4 left the routes: 2 requests served, 1 lost, 1 in flight at the roll";
    assert_eq!(world.log("blog", 1), [text]);
    for line in [
        "release_requests_total{app=\"blog\",release=\"v4\",end=\"served\"} 2",
        "release_requests_total{app=\"blog\",release=\"v4\",end=\"lost\"} 1",
        "release_under_way{app=\"blog\",release=\"v4\"} 0",
    ] {
        world.wait_for_metric(line);
    }
}
