//! Bodies of requests come in as a whole before an app is asked, answers leave an app before a slow visitor has them,
//! and what there is no room for goes at a least rate.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use router::LeastRate;

use crate::app::{App, Received, header};
use crate::echo::{HEAD, body_of, echo, world_of};
use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Outcome, WINDOW_UPDATE, block, http2_of};
use crate::visitor::{Visitor, get};
use crate::world::{World, route};

/// An app that serves one request at a time with each of so many workers, and closes after each.
fn synchronous(workers: usize, answer: impl Fn(&mut Received) + Send + Sync + 'static) -> App {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let address = listener.local_addr().expect("it is bound");
    let (requests, answer) = (Arc::new(AtomicU64::new(0)), Arc::new(answer));
    for _ in 0..workers {
        let (listener, answer, requests) =
            (Arc::clone(&listener), Arc::clone(&answer), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = BufReader::new(stream);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_until(b'\n', &mut head).unwrap_or(0) == 0 {
                        break;
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                requests.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                answer(&mut Received { head, turn: 0, stream });
            }
        });
    }
    App { key: "sync".to_owned(), address, requests }
}

/// Answers with the body that came.
fn its_body(request: &mut Received) {
    if let Some(body) = body_of(request) {
        let length = body.len();
        request
            .send(&format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"));
    }
}

fn slow_rate() -> LeastRate {
    LeastRate { bytes_per_second: 1_000_000, grace: Duration::from_millis(300) }
}

#[test]
fn four_slow_bodies_do_not_stop_an_app_with_two_synchronous_workers() {
    let app = synchronous(2, its_body);
    let world = world_of(&app);
    let mut slow: Vec<_> = (0..4).map(|_| Visitor::connect(&world)).collect();
    for (number, visitor) in slow.iter_mut().enumerate() {
        match number {
            0 | 1 => visitor.send(&format!("{HEAD}Content-Length: 10\r\n\r\n01234")),
            2 => visitor.send(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n")),
            _ => {
                visitor.send(&format!("{HEAD}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"));
                assert!(visitor.head().starts_with("HTTP/1.1 100"));
                visitor.send("01234");
            }
        }
    }
    world.wait_for_metric("received_bytes_total{app=\"echo\"} 20");

    assert_eq!(get(&world, "echo.test", "/").status, 200);
    assert_eq!(app.count(), 1, "the app has none of the slow ones");

    for (number, visitor) in slow.iter_mut().enumerate() {
        visitor.send(if number == 2 { "5\r\n56789\r\n0\r\n\r\n" } else { "56789" });
        let answer = visitor.answer();
        assert_eq!((answer.status, answer.body.as_str()), (200, "0123456789"), "{number}");
    }
}

#[test]
fn slow_bodies_over_http2_do_not_stop_it_either() {
    let app = synchronous(2, its_body);
    let world = world_of(&app);
    let config = http2_of(&world);
    let mut slow = Http2::connect(&world, &config);
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "echo.test"), (":path", "/")];
    for stream in [1, 3, 5, 7] {
        slow.send(HEADERS, END_HEADERS, stream, &block(&fields));
        slow.send(DATA, 0, stream, b"01234");
    }
    world.wait_for_metric("received_bytes_total{app=\"echo\"} 20");

    assert_eq!(get(&world, "echo.test", "/").status, 200);
    assert_eq!(app.count(), 1);
    slow.send(DATA, END_STREAM, 7, b"56789");
    assert_eq!(slow.outcome(7), Outcome::Status(200));
    assert_eq!(slow.body(7), "0123456789");
}

#[test]
fn a_body_beyond_memory_goes_by_a_file_without_a_name_and_arrives_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().to_owned();
    let app = synchronous(1, its_body);
    let world = World::start_with(|settings| settings.buffering.dir = Some(folder));
    world.serve(vec![route("echo", &[&app])]);
    let text: String = (0..600_000).map(|number| format!("{number},")).collect();

    let mut told = Visitor::connect(&world);
    told.send(&format!("{HEAD}Content-Length: {}\r\n\r\n", text.len()));
    told.send(&text[..2_000_000]);
    world.wait_for_metric("received_bytes_total{app=\"echo\"} 2000000");
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0);
    told.send(&text[2_000_000..]);
    assert!(told.answer().body == text);

    let mut untold = Visitor::connect(&world);
    untold.send(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"));
    for piece in text.as_bytes().chunks(100_000) {
        let piece = String::from_utf8_lossy(piece);
        untold.send(&format!("{:x}\r\n{piece}\r\n", piece.len()));
    }
    untold.send("0\r\n\r\n");
    assert!(untold.answer().body == text);
}

/// Says when the head of a request came, and whether its body came as a whole.
fn telling() -> (App, mpsc::Receiver<bool>) {
    let (tell, told) = mpsc::channel();
    let app = App::start("echo", move |request| {
        let _ = tell.send(true);
        let body = body_of(request);
        let _ = tell.send(body.is_some());
        body.inspect(|body| request.answer(body)).is_some()
    });
    (app, told)
}

#[test]
fn what_there_is_no_room_for_streams_at_a_least_rate() {
    let (app, told) = telling();
    let world = World::start_with(|settings| {
        settings.buffering.body_memory_max = 1_000;
        settings.body_rate = slow_rate();
    });
    world.serve(vec![route("echo", &[&app])]);
    let half = "a".repeat(2_000);

    let mut steady = Visitor::connect(&world);
    steady.send(&format!("{HEAD}Content-Length: 4000\r\n\r\n{half}"));
    assert!(told.recv().expect("the app has it before it is whole"));
    steady.send(&half);
    assert_eq!(steady.answer().body.len(), 4_000);
    assert!(told.recv().expect("the whole"));

    let mut slow = Visitor::connect(&world);
    slow.send(&format!("{HEAD}Content-Length: 4000\r\n\r\n{half}"));
    assert_eq!(slow.answer().status, 408);
    assert!(told.recv().expect("the app has it before it is whole"));
    assert!(!told.recv().expect("the app is not kept any longer"));
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up_before_an_app_is_asked() {
    let app = echo();
    let world = World::start_with(|settings| settings.body_rate = slow_rate());
    world.serve(vec![route("echo", &[&app])]);

    for head in ["Content-Length: 10\r\n\r\n01234", "Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n"] {
        let mut visitor = Visitor::connect(&world);
        visitor.send(&format!("{HEAD}{head}"));
        assert_eq!(visitor.answer().status, 408);
        assert!(visitor.is_closed());
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn apps_that_are_set_so_and_grpc_get_bodies_as_they_come_and_as_slowly() {
    let (app, told) = telling();
    let world = World::start_with(|settings| settings.body_rate = slow_rate());
    let mut streaming = route("stream", &[&app]);
    streaming.rules.request_buffering = Some(false);
    world.serve(vec![streaming, route("echo", &[&app])]);

    for head in [
        "POST / HTTP/1.1\r\nHost: stream.test\r\n",
        &format!("{HEAD}Content-Type: Application/gRPC+proto\r\n"),
    ] {
        let mut visitor = Visitor::connect(&world);
        visitor.send(&format!("{head}Content-Length: 10\r\n\r\n01234"));
        assert!(told.recv().expect("the head"), "{head}");
        // Longer than a body may take that is to be whole first.
        assert!(told.recv_timeout(Duration::from_millis(600)).is_err());
        visitor.send("56789");
        assert_eq!(visitor.answer().body, "0123456789");
        assert!(told.recv().expect("the whole"));
    }
}

#[test]
fn without_a_process_a_body_is_neither_asked_for_nor_waited_for() {
    let world = World::start();
    let mut nobody = route("echo", &[]);
    nobody.wanted = 0;
    world.serve(vec![nobody]);
    let mut visitor = Visitor::connect(&world);

    visitor.send(&format!("{HEAD}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n"));

    assert_eq!(visitor.answer().status, 503);
}

#[test]
fn a_body_over_the_bound_is_413_whichever_way_it_comes() {
    let app = echo();
    let world = world_of(&app);
    world.tell(|rules| rules.body_bytes_max = Some(1_000));
    let config = http2_of(&world);
    let body = "a".repeat(2_000_000);

    let whole = format!("{HEAD}Content-Length: 1001\r\n\r\n{}", &body[..1_001]);
    let told = format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for request in [whole, told, chunked] {
        let mut visitor = Visitor::connect(&world);
        // All of it is sent before anything is read: the refusal is not to be lost for that.
        visitor.send(&request);
        assert_eq!(visitor.answer().status, 413, "{}", &request[..80]);
    }
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", "echo.test"), (":path", "/")];
    let mut visitor = Http2::connect(&world, &config);
    visitor.send(HEADERS, END_HEADERS, 1, &block(&fields));
    visitor.send(DATA, 0, 1, &body.as_bytes()[..1_001]);
    assert_eq!(visitor.outcome(1), Outcome::OtherStatus);
    assert_eq!(visitor.body(1), "the body is larger than the 1000 bytes allowed here\n");
    assert_eq!(app.count(), 0);
}

#[test]
fn an_app_that_refuses_a_body_and_hangs_up_is_heard() {
    let app = synchronous(1, |request| {
        // Unread bytes make of the end of the connection a reset.
        request.send("HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfull");
    });
    let world = World::start_with(|settings| settings.buffering.body_memory_max = 8 << 20);
    world.serve(vec![route("echo", &[&app])]);
    let body = "a".repeat(6_000_000);

    for _ in 0..20 {
        let mut visitor = Visitor::connect(&world);
        visitor.send(&format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(visitor.answer().status, 413);
    }
}

#[test]
fn visitors_who_do_not_read_a_small_answer_hold_no_process() {
    let app = synchronous(2, |request| {
        let body = "a".repeat(64 << 10);
        request.send(&format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    });
    let world = world_of(&app);
    let mut deaf: Vec<_> = (0..4).map(|_| Visitor::connect(&world)).collect();
    for visitor in &mut deaf {
        visitor.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
    }

    assert_eq!(get(&world, "echo.test", "/").body.len(), 64 << 10);
    assert!(deaf.iter_mut().all(|visitor| visitor.answer().body.len() == 64 << 10));
}

#[test]
fn a_long_answer_is_taken_at_a_least_rate() {
    let (tell, gone) = mpsc::channel();
    let app = App::start("echo", move |request| {
        request.send("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100000000\r\n\r\n");
        let piece = vec![b'a'; 1 << 20];
        tell.send((0..100).all(|_| request.stream.get_mut().write_all(&piece).is_ok()))
            .expect("the test listens");
        false
    });
    let world = World::start_with(|settings| {
        settings.send_rate = LeastRate { bytes_per_second: 1 << 30, grace: Duration::from_millis(300) };
    });
    world.serve(vec![route("echo", &[&app])]);
    for request in [
        "GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n",
        &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        let mut visitor = Visitor::connect(&world);
        visitor.send(request);
        // Each piece is taken in time, and all of them are not.
        let mut piece = vec![0; 64 << 10];
        let sent = loop {
            if let Ok(sent) = gone.try_recv() {
                break sent;
            }
            if visitor.read_bytes(&mut piece).is_err() {
                break gone.recv().expect("the app is free");
            }
            // A visitor with a slow line.
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(!sent, "{request}");
    }
}

#[test]
fn an_answer_that_nobody_takes_is_given_up_and_its_app_is_free() {
    let (tell, gone) = mpsc::channel();
    let app = App::start("echo", move |request| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100000000\r\n\r\n";
        request.send(head);
        let piece = vec![b'a'; 1 << 20];
        let sent = (0..100).all(|_| request.stream.get_mut().write_all(&piece).is_ok());
        tell.send((header(&request.head, "x-way").map(str::to_owned), sent)).expect("the test listens");
        false
    });
    let world = World::start_with(|settings| settings.send_timeout = Duration::from_millis(300));
    world.serve(vec![route("echo", &[&app])]);
    let config = http2_of(&world);

    let mut fast = Visitor::connect(&world);
    fast.send("GET / HTTP/1.1\r\nHost: echo.test\r\nX-Way: fast\r\n\r\n");
    let mut slow = Visitor::connect(&world);
    // A body in pieces takes the slow path.
    slow.send(&format!("{HEAD}X-Way: slow\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"));
    let mut http2 = Http2::connect(&world, &config);
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "echo.test"), (":path", "/")];
    http2.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[&fields[..], &[("x-way", "http2")]].concat()));

    let mut ways: Vec<_> =
        (0..3).map(|_| gone.recv_timeout(Duration::from_secs(10)).expect("it is freed")).collect();
    ways.sort();
    let way = |way: &str| (Some(way.to_owned()), false);
    assert_eq!(ways, [way("fast"), way("http2"), way("slow")]);
    assert_eq!(http2.outcome(1), Outcome::Status(200));
    // Reading on shows that there is nothing more.
    for stream in [0, 1] {
        http2.send(WINDOW_UPDATE, 0, stream, &(1_u32 << 20).to_be_bytes());
    }
    assert!(http2.try_body(1).is_none());
    let _ = fast.read_bytes(&mut [0; 1]);
    let _ = slow.read_bytes(&mut [0; 1]);
}
