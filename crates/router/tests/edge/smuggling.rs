//! Requests that have smuggled others past proxies, against back ends that read HTTP each in its own way: what the
//! router took for so many requests, they must have taken for as many.

mod backend;
mod corpus;

use std::time::Duration;

use crate::app::header;
use crate::visitor::{Visitor, get};
use crate::world::{World, route};
use backend::{Backend, Kind};
pub use corpus::cases;
use corpus::{Case, Verdict};

const AFTER: &str = "GET /after HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n";

/// Request of the next client on the same connection, as a back end sees it.
const AFTER_BODY: &str = "GET /after";

/// One of the answers on a connection.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    /// The back end said it, and not the router.
    pub is_apps: bool,
    pub body: String,
}

#[test]
fn nothing_is_smuggled_to_nginx() {
    run(Kind::Nginx);
}

#[test]
fn nothing_is_smuggled_to_haproxy() {
    run(Kind::Haproxy);
}

#[test]
fn nothing_is_smuggled_to_node() {
    run(Kind::Node);
}

#[test]
fn nothing_is_smuggled_to_pythons_own_server() {
    run(Kind::Python);
}

#[test]
fn nothing_is_smuggled_to_gunicorn() {
    run(Kind::Gunicorn);
}

fn run(kind: Kind) {
    let backend = Backend::start(kind);
    // One worker, so that all visitors share its connections to the back end.
    let world = World::start_with(|settings| {
        settings.workers = 1;
        settings.head_timeout = Duration::from_secs(2);
    });
    let mut with_timeout = route("echo", &[&backend.app]);
    with_timeout.rules.timeout = Some(Duration::from_secs(2));
    world.serve(vec![with_timeout]);
    let failures: Vec<_> = cases().iter().filter_map(|case| verdict(&world, &backend, case).err()).collect();
    assert!(failures.is_empty(), "behind the router, {kind:?} is misled:\n{}", failures.join("\n"));
}

fn verdict(world: &World, backend: &Backend, case: &Case) -> Result<(), String> {
    let (before, retries_before) = (backend.count(), retries(world));
    let mut visitor = Visitor::connect(world);
    let _ = visitor.send_bytes(&case.bytes);
    visitor.try_send(AFTER);
    let heard = visitor.rest();
    let next = get(world, "echo.test", "/victim");
    let seen = backend.count() - before - backend.count_per_question();

    let fail = |what: &str| Err(format!("{}: {what}; {seen} seen, {next:?}, heard {heard:?}", case.name));
    let Some(answers) = answers(&heard, case.bytes.starts_with(b"HEAD")) else {
        return fail("answers cannot be told apart");
    };
    if next.status != 200 || next.body != "GET /victim" {
        return fail("the next visitor got somebody else's answer");
    }
    let own = if let Verdict::One(own) = case.verdict { own } else { AFTER_BODY };
    let is_odd = |answer: &Answer| ![own, AFTER_BODY, ""].contains(&answer.body.as_str());
    if answers.iter().any(|answer| answer.is_apps && is_odd(answer)) {
        return fail("something else was answered");
    }
    let is_refused = answers.first().is_none_or(|answer| !answer.is_apps && answer.status >= 400);
    let is_answered = answers.first().is_some_and(|answer| answer.is_apps || answer.status / 100 == 4);
    let as_wanted = if let Verdict::One(_) = case.verdict { is_answered } else { is_refused };
    if !as_wanted {
        return fail(&format!("expected {:?}", case.verdict));
    }
    let believed = answers.iter().filter(|answer| answer.is_apps).count() as u64 + 1;
    // A back end may have counted a request that it refused, or whose end did not come; or one that came on a connection
    // which it closed without an answer, so that the router asked again.
    let may_be_half = is_refused && !matches!(case.verdict, Verdict::Refused);
    let seen_max = believed + u64::from(may_be_half) + retries(world) - retries_before;
    if !(believed..=seen_max).contains(&seen) {
        return fail(&format!("the router believes in {believed}"));
    }
    Ok(())
}

/// Requests that the router has asked again.
fn retries(world: &World) -> u64 {
    let metrics = world.metrics();
    let told =
        metrics.lines().find_map(|line| line.strip_prefix("workflow_router_retries_total{app=\"echo\"} "));
    told.map_or(0, |number| number.parse().expect("a number"))
}

/// Reads answers one by one; `None` where they end in the middle.
pub fn answers(heard: &str, is_head: bool) -> Option<Vec<Answer>> {
    let mut answers = Vec::new();
    let mut rest = heard;
    while !rest.is_empty() {
        let (head, after) = rest.split_once("\r\n\r\n")?;
        rest = after;
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        if status == 100 {
            continue;
        }
        let length = match header(head, "content-length") {
            Some(_) if is_head && answers.is_empty() => 0,
            Some(length) => length.parse().ok()?,
            None if header(head, "transfer-encoding").is_none() => 0,
            None => {
                let (body, after) = chunks(rest)?;
                rest = after;
                answers.push(Answer { status, is_apps: is_apps(head), body });
                continue;
            }
        };
        let body = rest.get(..length)?.to_owned();
        rest = &rest[length..];
        answers.push(Answer { status, is_apps: is_apps(head), body });
    }
    Some(answers)
}

fn is_apps(head: &str) -> bool {
    header(head, "x-app").is_some()
}

/// A body in chunks, and what follows.
fn chunks(mut rest: &str) -> Option<(String, &str)> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
        if size == 0 {
            return Some((body, rest));
        }
    }
}
