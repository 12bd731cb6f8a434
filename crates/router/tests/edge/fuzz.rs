//! Requests that nobody would write, by chance: whatever comes in, what goes out is clear, and everybody gets the
//! answer to their own question.
//!
//! `cargo xtask fuzz router --minutes N` goes on for longer than a test may, from a seed of its own:
//! `WORKFLOW_FUZZ_SECONDS` and `WORKFLOW_FUZZ_SEED` tell both.

mod generator;

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::echo::body_of;
use crate::smuggling::{answers, cases};
use crate::visitor::{Visitor, get, tcp};
use crate::world::{World, route};
use generator::{Chance, damage, make};

/// Requests of an ordinary run.
const CASES: usize = 1_500;
const AFTER: &str = "GET /after HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n";

/// Heads of requests that arrived whole, as the app saw them.
type Seen = Arc<Mutex<Vec<String>>>;

#[test]
fn whatever_comes_in_each_request_that_goes_out_is_clear_and_gets_its_own_answer() {
    let seconds = number("WORKFLOW_FUZZ_SECONDS");
    let seed = number("WORKFLOW_FUZZ_SEED").unwrap_or(1);
    println!("seed {seed}");
    let panics = count_panics_of_routers();
    let seen = Seen::default();
    let app = app(Arc::clone(&seen));
    let world = World::start_with(|settings| settings.workers = 1);
    let mut impatient = route("echo", &[&app]);
    impatient.rules.timeout = Some(Duration::from_secs(5));
    world.serve(vec![impatient]);

    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut chance = Chance::new(seed);
    let corpus = cases();
    let mut corpus = corpus.iter().cycle();
    let mut done = 0;
    while end.map_or(done < CASES, |end| Instant::now() < end) {
        let (bytes, clean) = if done % 3 == 0 {
            let mut bytes = corpus.next().expect("it goes round").bytes.clone();
            damage(&mut chance, &mut bytes);
            (bytes, None)
        } else {
            let made = make(&mut chance);
            (made.bytes, made.is_clean)
        };
        let verdict = try_one(&world, &seen, &bytes, clean.as_deref());
        let bytes = || String::from_utf8_lossy(&bytes).into_owned();
        assert!(verdict.is_ok(), "seed {seed}, request {done}: {}\n{:?}", verdict.unwrap_err(), bytes());
        assert_eq!(panics.load(Ordering::Relaxed), 0, "seed {seed}, request {done}: {:?}", bytes());
        done += 1;
    }
    println!("{done} requests, {} of which reached the app", app.count());
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// A worker that panics drops a visitor, who may not notice; this does.
fn count_panics_of_routers() -> Arc<AtomicUsize> {
    let panics = Arc::new(AtomicUsize::new(0));
    let (counted, before) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if thread.name().is_some_and(|name| name.starts_with("router-")) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        before(panic);
    }));
    panics
}

/// Answers what arrives whole with the request line and a number.
fn app(seen: Seen) -> App {
    App::start("echo", move |request| {
        let Some(_) = body_of(request) else { return false };
        let mut seen = seen.lock().expect("not poisoned");
        seen.push(request.head.clone());
        let answer = asked(&request.head).unwrap_or_default().to_owned();
        let body = if answer.starts_with("HEAD ") { "" } else { &answer };
        let length = answer.len();
        request.send(&format!("HTTP/1.1 200 OK\r\nX-App: yes\r\nContent-Length: {length}\r\n\r\n{body}"));
        true
    })
}

/// Sends it with another request behind it; tells what is wrong.
fn try_one(world: &World, seen: &Seen, bytes: &[u8], clean: Option<&str>) -> Result<(), String> {
    seen.lock().expect("not poisoned").clear();
    let line = tcp(world.address);
    let ending = line.try_clone().expect("a second handle");
    let mut visitor = Visitor::on(line);
    let _ = visitor.send_bytes(&[bytes, AFTER.as_bytes()].concat());
    // Who waits for more of a body learns that there is none.
    let _ = ending.shutdown(Shutdown::Write);
    let heard = visitor.rest();
    let next = get(world, "echo.test", "/victim");

    let seen = seen.lock().expect("not poisoned").clone();
    if next.status != 200 || next.body != "GET /victim" {
        return Err(format!("the next visitor heard {next:?}"));
    }
    for head in &seen {
        check(head).map_err(|what| format!("{what} in what the app saw: {head:?}"))?;
    }
    let is_head = bytes.trim_ascii_start().starts_with(b"HEAD ");
    let answers =
        answers(&heard, is_head).ok_or_else(|| format!("answers cannot be told apart: {heard:?}"))?;
    let told: Vec<_> =
        answers.iter().filter(|answer| answer.is_apps).map(|answer| answer.body.as_str()).collect();
    let asked: Vec<_> = seen.iter().filter_map(|head| asked(head)).collect();
    let (last, own) = asked.split_last().unwrap_or((&"", &[]));
    // A HEAD has no body that could be compared.
    let is_own = own.len() == told.len()
        && own.iter().zip(&told).all(|(own, told)| own == told || own.starts_with("HEAD "));
    if !is_own || *last != "GET /victim" {
        return Err(format!("the app was asked {asked:?} and the visitor heard {heard:?}"));
    }
    match clean {
        Some(clean) if told != [clean, "GET /after"] => Err(format!("expected {clean:?}, heard {heard:?}")),
        _ => Ok(()),
    }
}

/// Method and target of a head.
fn asked(head: &str) -> Option<&str> {
    head.lines().next()?.rsplit_once(' ').map(|(asked, _)| asked)
}

/// What every app may rely on, whatever the visitor sent.
fn check(head: &str) -> Result<(), String> {
    let lines = head.strip_suffix("\r\n\r\n").ok_or("no end")?;
    let (first, lines) = lines.split_once("\r\n").ok_or("no headers")?;
    let words: Vec<_> = first.split(' ').collect();
    let is_request = matches!(words[..], [method, target, "HTTP/1.1"]
        if !method.is_empty() && (target.starts_with('/') || (target == "*" && method == "OPTIONS")));
    if !is_request || head.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err("a line that is none".to_owned());
    }
    let mut fields = Vec::new();
    for line in lines.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(format!("the name {name:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim()));
    }
    let values = |wanted: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    let is_framed = match (&lengths[..], &codings[..]) {
        ([], [] | ["chunked"]) => true,
        ([length], []) => length.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    let is_known = values("host") == ["echo.test"]
        && values("x-forwarded-for") == ["127.0.0.1"]
        && values("x-forwarded-proto") == ["http"];
    let is_free = ["te", "trailer", "keep-alive", "expect", "x_forwarded_for", "content_length"]
        .iter()
        .all(|gone| values(gone).is_empty());
    let protocols = values("upgrade");
    let is_h2c = protocols.iter().any(|protocol| protocol.to_ascii_lowercase().contains("h2c"));
    let is_end_to_end = match values("connection")[..] {
        [] => protocols.is_empty(),
        ["upgrade"] => protocols.len() == 1 && !is_h2c,
        _ => false,
    };
    match (is_framed, is_known, is_free && is_end_to_end) {
        (true, true, true) => Ok(()),
        (false, ..) => Err("two framings".to_owned()),
        (_, false, _) => Err("somebody else's word".to_owned()),
        _ => Err("a header of one connection".to_owned()),
    }
}
