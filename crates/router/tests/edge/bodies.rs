use std::sync::mpsc;

use crate::app::App;
use crate::visitor::Visitor;
use crate::world::{World, route};

#[test]
fn bodies_stream_both_ways_before_they_end() {
    let world = World::start();
    let (first_half, seen) = mpsc::channel();
    let app = App::start("stream", move |request| {
        // The visitor sends its second line only when it has our answer to the first.
        let mut lines = Vec::new();
        request.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while lines.len() < 2 {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut request.stream, &mut line).expect("chunks come");
            if line.ends_with("data\n") || line.ends_with("data\r\n") {
                lines.push(line);
                first_half.send(()).expect("the test listens");
                request.send("5\r\nheard\r\n");
            }
        }
        // Unread bytes at closing would reset the connection and discard the response.
        std::io::Read::read_exact(&mut request.stream, &mut [0; "\r\n0\r\n\r\n".len()])
            .expect("the body ends");
        request.send("0\r\n\r\n");
        false
    });
    let mut streaming = route("stream", &[&app]);
    streaming.rules.request_buffering = Some(false);
    world.serve(vec![streaming]);
    let mut visitor = Visitor::connect(&world);

    visitor.send("POST / HTTP/1.1\r\nHost: stream.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata\n\r\n");
    seen.recv().expect("the first half arrives while the second is unwritten");
    assert!(visitor.head().contains("200"));
    assert_eq!((visitor.line().trim(), visitor.line().trim()), ("5", "heard"));
    visitor.send("5\r\ndata\n\r\n0\r\n\r\n");

    assert_eq!((visitor.line().trim(), visitor.line().trim()), ("5", "heard"));
    assert_eq!(visitor.line().trim(), "0");
}

#[test]
fn a_body_over_the_bound_is_refused_whether_or_not_its_length_is_told() {
    let world = World::start();
    world.tell(|rules| rules.body_bytes_max = Some(10));
    let app = App::start("small", |request| {
        let mut sink = String::new();
        // Reads until the router gives the request up.
        let _ = std::io::Read::read_to_string(&mut request.stream, &mut sink);
        false
    });
    world.serve(vec![route("small", &[&app])]);

    let mut told = Visitor::connect(&world);
    told.send("POST / HTTP/1.1\r\nHost: small.test\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(told.answer().status, 413);
    assert_eq!(app.count(), 0);

    let mut untold = Visitor::connect(&world);
    untold.send("POST / HTTP/1.1\r\nHost: small.test\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n");
    assert_eq!(untold.answer().status, 413);
}
