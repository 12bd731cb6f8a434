//! Following an app's log over HTTP, with lines that come over HTTP as in a cluster.

use std::net::SocketAddr;
use std::time::Duration;

use domain::logs::{LogLine, LogOrigin};
use domain::{AppName, ProcessType};
use jiff::Timestamp;
use logger::{LoggerError, LoggerSettings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

struct World {
    folder: TempDir,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Result<(), LoggerError>>,
}

impl World {
    async fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await
    }

    async fn in_folder(folder: TempDir) -> Self {
        let mut settings = LoggerSettings::new(folder.path().join("logs"));
        (settings.lines_key, settings.lines_per_app_max) = (Some("write".to_owned()), 100);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(logger::run(settings, Some(listener), None, stopped));
        Self { folder, address, stop, serving }
    }

    /// Ends the logger and starts another on the same files.
    async fn restarted(self) -> Self {
        self.stop.send_replace(true);
        self.serving.await.unwrap().unwrap();
        Self::in_folder(self.folder).await
    }

    /// Adds lines with these texts; they are on disk afterwards.
    async fn say(&self, texts: impl IntoIterator<Item = String>) {
        let lines: Vec<_> =
            texts.into_iter().map(|text| serde_json::to_string(&line(&text)).unwrap()).collect();
        let body = lines.join("\n");
        let headers = format!("X-Deis-Logger-Auth: write\r\nContent-Length: {}\r\n", body.len());
        let answer = self.ask("POST", "/lines", &headers, &body).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn follow(&self, query: &str) -> Follower {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // HTTP/1.0 has no chunks: the lines of the answer are the lines of the log.
        let request = format!("GET /logs/foo/follow{query} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut follower = Follower { stream: BufReader::new(stream) };
        while follower.line().await.is_some_and(|line| !line.is_empty()) {}
        follower
    }
}

struct Follower {
    stream: BufReader<TcpStream>,
}

impl Follower {
    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(Duration::from_secs(20), self.stream.read_line(&mut line)).await;
        (read.expect("a line comes").unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    /// The next value: a line as its number and text, all else as it is.
    async fn next(&mut self) -> Value {
        let value: Value = serde_json::from_str(&self.line().await.expect("the log goes on")).unwrap();
        match value["line"].as_str() {
            Some(line) => json!([value["id"], line.rsplit(": ").next().unwrap()]),
            None => value,
        }
    }
}

fn line(text: &str) -> LogLine {
    let origin = LogOrigin::Process { process: ProcessType::web(), release: 2, pod: "2ggow".to_owned() };
    let time = Timestamp::from_second(1_767_323_045).unwrap();
    LogLine { time, app: AppName::parse("foo").unwrap(), origin, text: text.to_owned() }
}

fn texts(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("line {number}"))
}

#[tokio::test]
async fn the_last_lines_come_first_and_new_ones_as_they_are_said() {
    let world = World::new().await;
    world.say(texts(1..4)).await;

    let mut follower = world.follow("?log_lines=2").await;

    assert_eq!(follower.next().await, json!([2, "line 2"]));
    assert_eq!(follower.next().await, json!([3, "line 3"]));
    world.say(texts(4..6)).await;
    assert_eq!(follower.next().await, json!([4, "line 4"]));
    assert_eq!(follower.next().await, json!([5, "line 5"]));
}

#[tokio::test]
async fn a_log_without_lines_says_where_it_stands() {
    let world = World::new().await;

    let mut follower = world.follow("").await;

    assert_eq!(follower.next().await, json!({ "id": 0 }));
    world.say(texts(1..2)).await;
    assert_eq!(follower.next().await, json!([1, "line 1"]));
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_and_nothing_twice_also_from_the_next_logger() {
    let world = World::new().await;
    world.say(texts(1..4)).await;

    let world = world.restarted().await;
    world.say(texts(4..5)).await;
    let mut follower = world.follow("?after=2").await;

    assert_eq!(follower.next().await, json!([3, "line 3"]));
    assert_eq!(follower.next().await, json!([4, "line 4"]));
    world.say(texts(5..6)).await;
    assert_eq!(follower.next().await, json!([5, "line 5"]));
}

#[tokio::test]
async fn who_was_away_too_long_is_told_how_many_lines_are_gone() {
    let world = World::new().await;
    world.say(texts(1..500)).await;

    let mut follower = world.follow("?after=2").await;

    assert_eq!(follower.next().await, json!({ "dropped": 397 }));
    assert_eq!(follower.next().await, json!([400, "line 400"]));
}

#[tokio::test]
async fn a_number_of_an_earlier_app_of_this_name_means_all_lines() {
    let world = World::new().await;
    world.say(texts(1..3)).await;

    assert_eq!(world.follow("?after=700").await.next().await, json!([1, "line 1"]));
}

#[tokio::test]
async fn a_reader_who_does_not_read_loses_lines_and_holds_nobody_up() {
    let world = World::new().await;
    let mut slow = world.follow("").await;
    assert_eq!(slow.next().await, json!({ "id": 0 }));

    // More than the socket buffers hold.
    let long = "x".repeat(16_000);
    for _ in 0..15 {
        world.say((0..90).map(|_| long.clone())).await;
    }
    world.say(["the last".to_owned()]).await;

    let mut dropped = 0;
    let mut seen = 0;
    loop {
        let next = slow.next().await;
        dropped += next["dropped"].as_u64().unwrap_or(0);
        seen += u64::from(next.is_array());
        if next[1] == "the last" {
            break;
        }
    }
    assert!(dropped > 0);
    assert_eq!(seen + dropped, 15 * 90 + 1);
}

#[tokio::test]
async fn the_log_ends_with_the_app_and_with_the_logger() {
    let world = World::new().await;
    world.say(texts(1..2)).await;
    let mut follower = world.follow("").await;
    follower.next().await;

    world.ask("DELETE", "/logs/foo", "", "").await;
    assert_eq!(follower.line().await, None);

    let mut follower = world.follow("").await;
    follower.next().await;
    world.stop.send_replace(true);
    assert_eq!(follower.line().await, None);
    world.serving.await.unwrap().unwrap();
}
