//! Test bed for random requests: a router, an app that records requests, and the rules that every app may rely on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::generator::Chance;
use crate::app::App;
use crate::echo::body_of;
use crate::visitor::get;
use crate::world::{World, route};

/// Heads of requests that arrived whole, as the app saw them.
type Seen = Arc<Mutex<Vec<String>>>;

pub struct Bed {
    pub world: World,
    pub chance: Chance,
    /// Requests that were tried.
    pub done: usize,
    seed: u64,
    /// Number of cases, or their end time.
    cases: usize,
    end: Option<Instant>,
    seen: Seen,
    panics: Arc<AtomicUsize>,
    app: App,
}

impl Bed {
    pub fn make(cases: usize) -> Self {
        let seed = number("WORKFLOW_FUZZ_SEED").unwrap_or(1);
        println!("seed {seed}");
        let end =
            number("WORKFLOW_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let panics = count_panics_of_routers();
        let seen = Seen::default();
        let app = app(Arc::clone(&seen));
        let world = World::start_with(|settings| settings.workers = 1);
        let mut with_timeout = route("echo", &[&app]);
        with_timeout.rules.timeout = Some(Duration::from_secs(5));
        world.serve(vec![with_timeout]);
        Self { world, chance: Chance::new(seed), done: 0, seed, cases, end, seen, panics, app }
    }

    /// Returns true if there is another case; forgets recorded requests.
    pub fn goes_on(&self) -> bool {
        let goes_on = self.end.map_or(self.done < self.cases, |end| Instant::now() < end);
        if !goes_on {
            println!("{} requests, {} of which reached the app", self.done, self.app.count());
        }
        self.seen.lock().expect("not poisoned").clear();
        goes_on
    }

    /// Number of requests that have reached the app.
    pub fn arrived(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }

    /// Requests that the app got, as `METHOD TARGET`, once another request has been answered too; each must be
    /// clear.
    pub fn asked(&self, scheme: &str) -> Result<Vec<String>, String> {
        let next = get(&self.world, "echo.test", "/victim");
        if next.status != 200 || next.body != "GET /victim" {
            return Err(format!("the next visitor heard {next:?}"));
        }
        let mut seen = self.seen.lock().expect("not poisoned").clone();
        if seen.pop().as_deref().and_then(asked) != Some("GET /victim") {
            return Err(format!("the next visitor's request is not the last: {seen:?}"));
        }
        for head in &seen {
            check(head, scheme).map_err(|what| format!("{what} in what the app saw: {head:?}"))?;
        }
        Ok(seen.iter().filter_map(|head| asked(head)).map(str::to_owned).collect())
    }

    /// Ends the test where something was found.
    pub fn note(&mut self, request: &str, verdict: Result<(), String>) {
        let Self { seed, done, .. } = self;
        if let Err(what) = verdict {
            panic!("seed {seed}, request {done}: {what}\n{request:?}");
        }
        let panics = self.panics.load(Ordering::Relaxed);
        assert_eq!(panics, 0, "a worker panicked; seed {seed}, request {done}: {request:?}");
        self.done += 1;
    }
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

/// Method and target of a head.
fn asked(head: &str) -> Option<&str> {
    head.lines().next()?.rsplit_once(' ').map(|(asked, _)| asked)
}

/// Rules that every app may rely on, whatever the client sent.
fn check(head: &str, scheme: &str) -> Result<(), String> {
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
        && values("x-forwarded-proto") == [scheme];
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
