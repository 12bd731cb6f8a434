//! Requests that nobody would write, by chance: whatever comes in, what goes out is clear, and everybody gets the
//! answer to their own question.
//!
//! `cargo xtask fuzz router --minutes N` goes on for longer than a test may, from a seed of its own:
//! `WORKFLOW_FUZZ_SECONDS` and `WORKFLOW_FUZZ_SEED` tell both.

mod bed;
mod fields;
mod generator;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2, Outcome, block, http2_of};
use crate::smuggling::{answers, cases};
use crate::visitor::{is_late, tcp};
use bed::Bed;
use fields::{MadeFields, make_fields};
use generator::{damage, make};

/// Requests of an ordinary run.
const CASES: usize = 1_500;
/// Each has a handshake of its own.
const CASES_OF_HTTP2: usize = 500;
/// Silence after which a router counts as waiting.
const SILENCE: Duration = Duration::from_millis(200);
const SILENCES_MAX: usize = 100;
const AFTER: &str = "GET /after HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n";

#[test]
fn whatever_comes_in_each_request_that_goes_out_is_clear_and_gets_its_own_answer() {
    let mut bed = Bed::make(CASES);
    let corpus = cases();
    let mut corpus = corpus.iter().cycle();
    while bed.goes_on() {
        let (bytes, clean) = if bed.done.is_multiple_of(3) {
            let mut bytes = corpus.next().expect("it goes round").bytes.clone();
            damage(&mut bed.chance, &mut bytes);
            (bytes, None)
        } else {
            let made = make(&mut bed.chance);
            (made.bytes, made.is_clean)
        };
        let verdict = try_one(&bed, &bytes, clean.as_deref());
        bed.note(&String::from_utf8_lossy(&bytes), verdict);
    }
}

#[test]
fn whatever_comes_in_by_http2_what_goes_out_as_http1_is_clear_too() {
    let mut bed = Bed::make(CASES_OF_HTTP2);
    let config = http2_of(&bed.world);
    while bed.goes_on() {
        let made = make_fields(&mut bed.chance);
        let verdict = try_fields(&bed, &config, &made);
        let MadeFields { fields, data, trailers, is_clean: _ } = &made;
        bed.note(&format!("{fields:?} {data:?} {trailers:?}"), verdict);
    }
}

/// Sends it with another request behind it; tells what is wrong.
fn try_one(bed: &Bed, bytes: &[u8], clean: Option<&str>) -> Result<(), String> {
    let mut line = tcp(bed.world.address);
    let _ = line.write_all(&[bytes, AFTER.as_bytes()].concat());
    let is_head = bytes.trim_ascii_start().starts_with(b"HEAD ");
    let heard = hear(bed, &mut line, is_head)?;

    let asked = bed.asked("http")?;
    let answers =
        answers(&heard, is_head).ok_or_else(|| format!("answers cannot be told apart: {heard:?}"))?;
    let told: Vec<_> =
        answers.iter().filter(|answer| answer.is_apps).map(|answer| answer.body.as_str()).collect();
    // A HEAD has no body that could be compared.
    let is_same = |(asked, told): (&String, &&str)| asked == told || asked.starts_with("HEAD ");
    if asked.len() != told.len() || !asked.iter().zip(&told).all(is_same) {
        return Err(format!("the app was asked {asked:?} and the visitor heard {heard:?}"));
    }
    match clean {
        Some(clean) if told != [clean, "GET /after"] => Err(format!("expected {clean:?}, heard {heard:?}")),
        _ => Ok(()),
    }
}

/// All that comes back. Where nothing more does and the app has nothing to answer, the router waits for more of a body,
/// and is told that there is none; to say so sooner would be to leave.
fn hear(bed: &Bed, line: &mut TcpStream, is_head: bool) -> Result<String, String> {
    let (mut heard, mut piece) = (Vec::new(), [0; 4_096]);
    line.set_read_timeout(Some(SILENCE)).expect("a timeout");
    for _ in 0..SILENCES_MAX {
        match line.read(&mut piece) {
            Err(error) if is_late(&error) => {
                let text = String::from_utf8_lossy(&heard);
                let all = answers(&text, is_head);
                let answered = all.map(|all| all.iter().filter(|answer| answer.is_apps).count());
                if answered == Some(bed.arrived()) {
                    let _ = line.shutdown(Shutdown::Write);
                }
            }
            Ok(0) | Err(_) => return String::from_utf8(heard).map_err(|error| error.to_string()),
            Ok(count) => heard.extend(&piece[..count]),
        }
    }
    Err(format!("the connection stays open after {:?}", String::from_utf8_lossy(&heard)))
}

/// Sends it over a connection of its own; tells what is wrong.
fn try_fields(bed: &Bed, config: &Arc<ClientConfig>, made: &MadeFields) -> Result<(), String> {
    let MadeFields { fields, data, trailers, is_clean } = made;
    let mut visitor = Http2::connect(&bed.world, config);
    let end = |is_last: bool| if is_last { END_STREAM } else { 0 };
    visitor.send(HEADERS, END_HEADERS | end(data.is_empty() && trailers.is_empty()), 1, &owned_block(fields));
    for (place, part) in data.iter().enumerate() {
        visitor.send(DATA, end(place + 1 == data.len() && trailers.is_empty()), 1, part.as_bytes());
    }
    if !trailers.is_empty() {
        visitor.send(HEADERS, END_HEADERS | END_STREAM, 1, &owned_block(trailers));
    }
    let outcome = visitor.outcome(1);
    let told = (outcome == Outcome::Status(200)).then(|| visitor.try_body(1)).flatten();

    let asked = bed.asked("https")?;
    // Of a request that was broken behind its end, the app may have seen all that there was.
    let is_own = told.as_ref().is_none_or(|told| asked == [told.clone()]);
    if asked.len() > 1 || !is_own {
        return Err(format!("the app was asked {asked:?} and the visitor heard {outcome:?}, {told:?}"));
    }
    match is_clean {
        Some(clean) if told.as_ref() != Some(clean) => Err(format!("expected {clean:?}, not {outcome:?}")),
        _ => Ok(()),
    }
}

fn owned_block(fields: &[(String, String)]) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    block(&fields)
}
