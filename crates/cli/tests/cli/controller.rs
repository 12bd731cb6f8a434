//! A controller with canned responses that records requests.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// No request of a test takes longer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Script {
    answers: HashMap<String, Vec<Answer>>,
    requests: Vec<Request>,
    api_version: Option<String>,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

/// A received request.
#[derive(Clone)]
pub struct Request {
    /// `POST /v2/apps/`.
    pub line: String,
    /// With lower-case names.
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// A controller, and a proxy in front of it, on a port of its own.
pub struct Controller {
    pub address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl Controller {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script =
            Arc::new(Mutex::new(Script { api_version: Some("2.3".to_owned()), ..Script::default() }));
        let shared = Arc::clone(&script);
        // Ends with the test's process; each connection is answered in turn.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(&stream, &shared);
            }
        });
        Self { address, script }
    }

    /// Answers `line` with this; of several answers to one line each is given once, the last one again and again.
    pub fn answer(&self, line: &str, status: u16, body: &str) {
        self.answer_with(line, status, "", body);
    }

    pub fn answer_with(&self, line: &str, status: u16, headers: &str, body: &str) {
        let answer = Answer { status, headers: headers.to_owned(), body: body.to_owned() };
        self.script.lock().unwrap().answers.entry(line.to_owned()).or_default().push(answer);
    }

    pub fn speak_api_version(&self, version: Option<&str>) {
        self.script.lock().unwrap().api_version = version.map(str::to_owned);
    }

    /// The requests so far, which are forgotten.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.script.lock().unwrap().requests)
    }
}

fn serve(stream: &TcpStream, script: &Mutex<Script>) {
    stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
    let mut reader = BufReader::new(stream);
    let Some(mut request) = read_request(&mut reader) else { return };
    if request.line.starts_with("CONNECT ") {
        (&*stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        match read_request(&mut reader) {
            Some(inner) => request = inner,
            None => return,
        }
    }
    let answer = script.lock().unwrap().next(request);
    // A client that was ended meanwhile does not matter.
    (&*stream).write_all(answer.as_bytes()).ok();
}

impl Script {
    fn next(&mut self, request: Request) -> String {
        let answers = self.answers.get_mut(&request.line);
        let answer = match answers {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => {
                Answer { status: 599, headers: String::new(), body: format!("unexpected {}", request.line) }
            }
        };
        self.requests.push(request);
        let version =
            self.api_version.as_ref().map(|v| format!("DEIS_API_VERSION: {v}\r\n")).unwrap_or_default();
        let Answer { status, headers, body } = answer;
        format!("HTTP/1.1 {status} X\r\n{version}{headers}Content-Length: {}\r\n\r\n{body}", body.len())
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let first = read_line(reader)?;
    let line = first.strip_suffix(" HTTP/1.1")?.to_owned();
    let mut headers = HashMap::new();
    while let Some((name, value)) = read_line(reader)?.split_once(':') {
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line, headers, body: String::from_utf8(body).unwrap() })
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    Some(line.trim_end().to_owned())
}
