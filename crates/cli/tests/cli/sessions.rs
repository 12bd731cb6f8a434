//! Commands with the user in front of them, against a controller that plays one session.

use std::net::TcpListener;
use std::thread::{JoinHandle, spawn};

use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept_hdr};

use crate::world::World;

type Socket = WebSocket<std::net::TcpStream>;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const END: u8 = 3;

/// A user whose controller plays one session, and its record: the path, the credentials, the start message.
fn played(play: impl FnOnce(&mut Socket) + Send + 'static) -> (World, JoinHandle<[String; 3]>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = World::logged_in_at(&format!("http://{}", listener.local_addr().unwrap()));
    let playing = spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let (mut path, mut credentials) = (String::new(), String::new());
        #[expect(clippy::result_large_err, reason = "the library's signature")]
        let answer = |request: &Request, mut response: Response| {
            path = request.uri().to_string();
            credentials = request.headers()["authorization"].to_str().unwrap().to_owned();
            let protocol = request.headers()["sec-websocket-protocol"].clone();
            assert_eq!(protocol, "v1.terminal.deis");
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            response.headers_mut().insert("deis_api_version", "2.3".parse().unwrap());
            Ok(response)
        };
        let mut socket = accept_hdr(stream, answer).unwrap();
        let start = hears(&mut socket);
        assert_eq!(start[0], 5);
        play(&mut socket);
        // Until the client has hung up.
        while socket.read().is_ok() {}
        [path, credentials, String::from_utf8(start[1..].to_vec()).unwrap()]
    });
    (world, playing)
}

fn hears(socket: &mut Socket) -> Vec<u8> {
    loop {
        match socket.read().unwrap() {
            Message::Binary(message) => return message.to_vec(),
            Message::Ping(_) => {}
            other => panic!("no frame: {other:?}"),
        }
    }
}

/// Reads the input up to and including this text.
fn hears_until(socket: &mut Socket, end: &str) -> String {
    let mut typed = String::new();
    while !typed.ends_with(end) {
        let frame = hears(socket);
        assert_eq!(frame[0], 0, "{frame:?}");
        typed.push_str(std::str::from_utf8(&frame[1..]).unwrap());
    }
    typed
}

fn says(socket: &mut Socket, channel: u8, text: &str) {
    socket.send(Message::Binary([&[channel], text.as_bytes()].concat().into())).unwrap();
}

fn ends(socket: &mut Socket, end: &str) {
    says(socket, END, end);
    socket.close(None).unwrap();
}

#[test]
fn input_is_piped_to_a_command_and_its_streams_and_exit_code_come_back() {
    let (world, playing) = played(|socket| {
        assert_eq!(hears_until(socket, "two\n"), "one\ntwo\n");
        assert_eq!(hears(socket), [6]);
        says(socket, STDOUT, "out\n");
        says(socket, STDERR, "err\n");
        ends(socket, r#"{"exit_code":7}"#);
    });

    let run = world.deis_with(&["run", "-i", "-a", "foo", "--", "wc", "-l"], "one\ntwo\n");

    assert_eq!((run.out.as_str(), run.err.as_str(), run.code), ("out\n", "Running 'wc -l'...\nerr\n", 7));
    let [path, credentials, start] = playing.join().unwrap();
    assert_eq!((path.as_str(), credentials.as_str()), ("/v2/apps/foo/run/terminal", "token t0ken"));
    assert_eq!(start, r#"{"command":"wc -l","term":""}"#);
}

#[test]
fn a_terminal_is_the_commands_until_its_end_and_then_the_users_again() {
    let (world, playing) = played(|socket| {
        says(socket, STDOUT, "ready: ");
        // Ctrl-C is for the command.
        assert_eq!(hears_until(socket, "\n"), "\u{3}ls\n");
        ends(socket, r#"{"exit_code":5}"#);
    });

    let line = "stty rows 30 cols 90; TERM=vt100 deis run -it -a foo bash; echo code $?; stty -a";
    let run = world.on_silent_terminal(line, &["\u{3}ls"]);

    let after = run.out.split("code 5").nth(1).expect(&run.out);
    let settings: Vec<_> = after.split_whitespace().collect();
    assert!(settings.contains(&"echo") && settings.contains(&"isig"), "{after}");
    let [_, _, start] = playing.join().unwrap();
    assert_eq!(start, r#"{"command":"bash","terminal":{"columns":90,"rows":30},"term":"vt100"}"#);
}

#[test]
fn a_command_inside_a_pod_gets_no_input_unless_it_is_asked_for() {
    let (world, playing) = played(|socket| {
        assert_eq!(hears(socket), [6]);
        says(socket, STDOUT, "done\n");
        ends(socket, r#"{"exit_code":0}"#);
    });

    world.deis("ps:exec -a foo foo-web-5d4f8c7b9f-x2x4z -- ls -l").says("done\n");

    let [path, _, start] = playing.join().unwrap();
    assert_eq!(path, "/v2/apps/foo/pods/web/foo-web-5d4f8c7b9f-x2x4z/exec");
    assert_eq!(start, r#"{"command":"ls -l","term":""}"#);
}

#[test]
fn a_session_that_fails_or_breaks_says_so() {
    let (world, _) = played(|socket| ends(socket, r#"{"error":"no process x of foo runs; see deis ps"}"#));
    world.deis("ps:exec -a foo x ls").fails_with("Error: no process x of foo runs; see deis ps\n");

    let (world, _) = played(|socket| socket.close(None).unwrap());
    let broken = "Error: the connection to the controller broke, which ended the command\n";
    world.deis("ps:exec -a foo x ls").fails_with(broken);
}

#[test]
fn refusals_of_a_session_are_those_of_other_requests() {
    let world = World::logged_in();
    for (status, body, text) in [
        (403, "", "You do not have permission to perform this action."),
        (404, "\"No App matches the given query.\"", "No App matches the given query."),
        (404, "<h1>Not Found</h1>", "older than this client"),
    ] {
        let world = World::logged_in();
        world.answer("GET /v2/apps/foo/run/terminal", status, body);
        let run = world.deis_with(&["run", "-i", "-a", "foo", "ls"], "");
        assert!(run.err.contains(text), "{}", run.err);
        assert_eq!(run.code, 1);
    }
    let run = world.deis("run -it -a foo bash");
    assert!(run.err.contains("stdin is no terminal"), "{}", run.err);
    assert!(world.requests().is_empty());
}
