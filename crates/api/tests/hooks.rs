//! The client's side of the hooks: paths, bodies and the builder's key.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use api::client::{Address, Client, ClientError};

/// Answers one request and gives back its text, headers in lower case.
fn answering(status: u16, body: &'static str) -> (Client, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let served = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            reader.read_line(&mut request).unwrap();
        }
        let request = request.to_lowercase();
        let length = request.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut sent = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut sent).unwrap();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        (&stream).write_all(answer.as_bytes()).unwrap();
        request + &String::from_utf8(sent).unwrap()
    });
    (Client::new(address, true).with_builder_key("k3y"), served)
}

#[test]
fn the_owner_of_a_key_is_asked_for_with_the_builders_key() {
    let (client, served) = answering(200, r#"{"username":"alice"}"#);

    let owner = client.hook_key_owner("ssh-ed25519 AAAA").unwrap();

    assert_eq!(owner.unwrap().username, "alice");
    let request = served.join().unwrap();
    assert!(request.starts_with("post /v2/hooks/key/ http/1.1\r\n"), "{request}");
    assert!(request.contains("x-deis-builder-auth: k3y\r\n"));
    assert!(!request.contains("authorization:"));
    assert!(request.ends_with(r#"{"public":"ssh-ed25519 AAAA"}"#));
}

#[test]
fn a_key_that_nobody_has_is_no_error() {
    let (client, _served) = answering(404, r#""No Key matches the given query.""#);
    assert_eq!(client.hook_key_owner("ssh-ed25519 AAAA").unwrap(), None);
}

#[test]
fn a_refusal_keeps_status_and_body() {
    let (client, served) = answering(400, r#"{"detail":"deploy failed"}"#);

    let error = client.hook_access("alice", "blog").unwrap_err();

    assert_eq!((error.status(), error.detail().as_deref()), (Some(400), Some("deploy failed")));
    assert!(!error.may_pass());
    assert!(served.join().unwrap().ends_with(r#"{"receive_user":"alice","receive_repo":"blog"}"#));
}

#[test]
fn a_controller_that_is_down_may_be_tried_again() {
    let client = Client::new(Address::parse("http://127.0.0.1:1").unwrap(), true);
    let error = client.hook_apps().unwrap_err();
    assert!(matches!(error, ClientError::Transport { .. }) && error.may_pass());
}
