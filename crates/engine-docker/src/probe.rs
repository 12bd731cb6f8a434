//! Asks a replica how it is, once: over its ports or by a command inside it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use domain::deployment::{Probe, ProbeAction};
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::jobs::message;
use super::replicas::Replica;
use super::{Inner, Reach};
use engine::rollout::failure_text::nothing_listens;

/// Most of an answer that is read to find its status.
const HEAD_BYTES_MAX: usize = 4096;
/// A first answer may take long while an app server warms up; giving up early would only queue more.
const SERVING_SECONDS_MIN: u32 = 10;

/// Runs the probe; the error says in plain words why it did not pass.
pub async fn ask(inner: &Inner, replica: &Replica, probe: &Probe) -> Result<(), String> {
    let seconds = match probe.action {
        ProbeAction::Serving { .. } => probe.timeout_seconds.max(SERVING_SECONDS_MIN),
        _ => probe.timeout_seconds.max(1),
    };
    let asked = tokio::time::timeout(Duration::from_secs(seconds.into()), act(inner, replica, &probe.action));
    asked.await.unwrap_or_else(|_| Err(format!("{} gave no answer within {seconds} s", shown(&probe.action))))
}

/// Runs a command in a container and gives its exit code.
pub async fn exec(docker: &Docker, id: &str, command: Vec<String>) -> Result<i64, bollard::errors::Error> {
    let options = CreateExecOptions {
        cmd: Some(command),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = docker.create_exec(id, options).await?.id;
    let started = docker.start_exec(&exec, None::<StartExecOptions>).await?;
    if let StartExecResults::Attached { mut output, input: _ } = started {
        // Only the end of the output matters.
        while let Some(chunk) = output.next().await {
            chunk?;
        }
    }
    Ok(docker.inspect_exec(&exec).await?.exit_code.unwrap_or(-1))
}

async fn act(inner: &Inner, replica: &Replica, action: &ProbeAction) -> Result<(), String> {
    let address = |port: u16| {
        replica.address(inner.reach, port).ok_or_else(|| format!("port {port} has no address yet"))
    };
    match action {
        ProbeAction::HttpGet { port, path, headers } => http_get(address(*port)?, *port, path, headers).await,
        ProbeAction::Exec { command } => match exec(&inner.client, &replica.id, command.clone()).await {
            Ok(0) => Ok(()),
            Ok(code) => Err(format!("{} exited with code {code}", shown(action))),
            Err(error) => Err(format!("{}: {}", shown(action), message(&error))),
        },
        ProbeAction::TcpSocket { port } => connect(address(*port)?, *port).await.map(drop),
        ProbeAction::Serving { port } => serving(address(*port)?, *port, inner.reach).await,
    }
}

fn shown(action: &ProbeAction) -> String {
    match action {
        ProbeAction::HttpGet { port, path, .. } => format!("GET {path} on port {port}"),
        // The command may hold a secret of the user's.
        ProbeAction::Exec { .. } => "the health check's command".to_owned(),
        ProbeAction::TcpSocket { port } | ProbeAction::Serving { port } => format!("port {port}"),
    }
}

async fn connect(address: SocketAddr, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => nothing_listens(port),
        _ => format!("cannot connect to port {port}: {error}"),
    })
}

async fn http_get(
    address: SocketAddr,
    port: u16,
    path: &str,
    headers: &[(String, String)],
) -> Result<(), String> {
    let answer = request(connect(address, port).await?, address, path, headers).await;
    match answer.as_deref().map(code) {
        Ok(Some(200..=399)) => Ok(()),
        Ok(Some(other)) => Err(format!("GET {path} on port {port} answered {other}")),
        Ok(None) => Err(format!("GET {path} on port {port} got no HTTP answer")),
        Err(error) => Err(format!("GET {path} on port {port}: {error}")),
    }
}

/// Any status is good, and so is an end without HTTP: then the process does not speak it. Only Docker's own
/// proxy takes a connection for a process that does not listen, so an end says nothing there.
async fn serving(address: SocketAddr, port: u16, reach: Reach) -> Result<(), String> {
    let answer = request(connect(address, port).await?, address, "/", &[]).await;
    match (answer, reach) {
        (Ok(head), _) if !head.is_empty() => Ok(()),
        (Ok(_), Reach::Direct) => Ok(()),
        (Ok(_), Reach::Published) => Err(format!("nothing listens on port {port}")),
        (Err(error), _) => Err(format!("port {port}: {error}")),
    }
}

/// Sends a request and reads the first line of the answer, or all of it if it never ends one.
async fn request(
    mut stream: TcpStream,
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
) -> io::Result<Vec<u8>> {
    let is_own = |name: &str| headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let defaults = [("Host", address.to_string()), ("User-Agent", "deis-probe".to_owned())];
    let mut text = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in defaults.iter().filter(|(name, _)| !is_own(name)) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    let mut head = Vec::new();
    let mut chunk = [0; 512];
    while head.len() < HEAD_BYTES_MAX && !head.contains(&b'\n') {
        match stream.read(&mut chunk).await? {
            0 => break,
            count => head.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(head)
}

/// Status of `HTTP/1.1 200 OK`.
fn code(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    line.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_is_read_from_its_first_line() {
        assert_eq!(code(b"HTTP/1.1 204 No Content\r\nServer: x"), Some(204));
        assert_eq!(code(b"HTTP/1.0 503\r\n"), Some(503));
        assert_eq!(code(b"SSH-2.0-x\r\n"), None);
        assert_eq!(code(b""), None);
    }
}
