//! An app that says what it was asked, and what a visitor hears who sends bytes of the test's own making.

use std::io::{BufRead as _, Read as _};

use crate::app::{App, Received, header};
use crate::visitor::Visitor;
use crate::world::{World, route};

/// Answers each request with its head and its body, in whichever framing that comes.
pub fn echo() -> App {
    App::start("echo", |request| {
        let Some(body) = body_of(request) else { return false };
        let answer = format!("{}{body}", request.head);
        request.answer(&answer);
        true
    })
}

/// The whole body, `None` where it was cut off.
pub fn body_of(request: &mut Received) -> Option<String> {
    let mut body = Vec::new();
    if header(&request.head, "transfer-encoding").is_none() {
        let length = header(&request.head, "content-length").map_or(Some(0), |length| length.parse().ok())?;
        body.resize(length, 0);
        request.stream.read_exact(&mut body).ok()?;
        return Some(String::from_utf8_lossy(&body).into_owned());
    }
    loop {
        let mut line = String::new();
        request.stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        request.stream.read_exact(&mut chunk).ok()?;
        if size == 0 {
            return Some(String::from_utf8_lossy(&body).into_owned());
        }
        body.extend(&chunk[..size]);
    }
}

pub fn world_of(app: &App) -> World {
    let world = World::start();
    world.serve(vec![route("echo", &[app])]);
    world
}

/// All that comes back until the connection ends.
pub fn said(world: &World, bytes: &str) -> String {
    let mut visitor = Visitor::connect(world);
    visitor.send(bytes);
    visitor.rest()
}

pub const HEAD: &str = "POST / HTTP/1.1\r\nHost: echo.test\r\n";

/// Status of the first answer in what came back.
pub fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_default()
}

/// The request as the app saw it: head and body, in an answer of [`echo`].
pub fn seen(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, seen)| seen)
}
