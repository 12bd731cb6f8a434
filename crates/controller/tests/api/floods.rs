//! Floods of requests without a token keep nobody else from logging in and working.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use domain::throttle::{FAILURES_MAX, FailureRate};
use listener::http::SMALL_BODY_BYTES;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::platform::{Answer, PASSWORD, TestPlatform, request};

const LOGIN: &str = "/v2/auth/login/";
const REGISTER: &str = "/v2/auth/register/";

/// A request by way of a router that has this address before it.
fn from(source: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("x-forwarded-for", source.parse().expect("a value"));
    request
}

fn credentials(name: &str, password: &str) -> String {
    json!({"username": name, "password": password}).to_string()
}

async fn login(platform: &TestPlatform, source: &str, name: &str, password: &str) -> Answer {
    platform.send(from(source, request(Method::POST, LOGIN, "", &credentials(name, password)))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_log_in_before_a_flood_of_guesses_is_through() {
    let platform = Arc::new(TestPlatform::new().await);
    platform.user("alice").await;
    let judged = Arc::new(AtomicUsize::new(0));
    let mut flood = JoinSet::new();
    for number in 0..400 {
        let (platform, judged) = (Arc::clone(&platform), Arc::clone(&judged));
        flood.spawn(async move {
            let source = format!("192.0.2.{}", number % 10);
            let answer = login(&platform, &source, &format!("guess-{number}"), "wrong").await;
            judged.fetch_add(usize::from(answer.status == 400), Ordering::Relaxed);
            answer
        });
    }
    while judged.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }

    let before = judged.load(Ordering::Relaxed);
    let good = login(&platform, "198.51.100.1", "alice", PASSWORD).await;
    let went_first = judged.load(Ordering::Relaxed) - before;

    assert_eq!(good.status, 200, "{}", good.text());
    // Those whose turn had come, and as many as are looked up in the database meanwhile: not the 64 that wait.
    assert!(went_first < 24, "{went_first}");
    let answers = flood.join_all().await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 400 | 429)), "{answers:?}");
    let refused = answers.iter().find(|answer| answer.status == 429).expect("some are refused");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
}

#[tokio::test]
async fn a_network_of_one_customer_is_one_source_of_guesses() {
    let platform = Arc::new(TestPlatform::new().await);
    platform.user("alice").await;
    // They count when they begin, so that it does not matter how long they take.
    let mut guesses = JoinSet::new();
    for number in 0..FAILURES_MAX {
        let platform = Arc::clone(&platform);
        let source = format!("2001:db8::{number:x}");
        guesses.spawn(async move { login(&platform, &source, "alice", "wrong").await.status });
    }
    tokio::task::yield_now().await;

    let throttled = login(&platform, "2001:db8::ffff", "alice", PASSWORD).await;

    assert_eq!(throttled.status, 429, "{}", throttled.text());
    assert!(throttled.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    assert_eq!(login(&platform, "2001:db8:0:1::1", "alice", PASSWORD).await.status, 200);
    assert!(guesses.join_all().await.into_iter().all(|status| status == 400));
}

#[tokio::test]
async fn who_makes_accounts_in_masses_has_to_wait_and_others_do_not() {
    let platform =
        TestPlatform::with(|settings| settings.registration_mode = domain::users::RegistrationMode::Enabled)
            .await;
    let register = async |source: &str, number: u32| {
        let body = credentials(&format!("user-{number}"), PASSWORD);
        platform.send(from(source, request(Method::POST, REGISTER, "", &body))).await
    };
    let mut made = 0;
    let refused = loop {
        let answer = register("192.0.2.1", made).await;
        if answer.status != 201 {
            break answer;
        }
        made += 1;
    };

    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.text().contains("Too many accounts are made from this address"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert!(made >= FailureRate::REGISTRATIONS.failures_max, "{made}");
    assert_eq!(register("192.0.2.2", made + 1).await.status, 201);
}

#[tokio::test]
async fn wrong_tokens_in_masses_are_looked_up_one_at_a_time_and_right_ones_go_on() {
    let platform = TestPlatform::new().await;
    let alice = platform.user("alice").await;
    let ask = async |token: &str| {
        platform.send(from("192.0.2.1", request(Method::GET, "/v2/auth/whoami/", token, ""))).await.status
    };
    for _ in 0..FailureRate::TOKENS.failures_max + 20 {
        assert_eq!(ask("0123456789").await, 401);
    }

    assert_eq!(ask(&alice).await, 200);
}

#[tokio::test]
async fn refusals_at_the_door_do_not_count_as_guesses_of_the_password() {
    let platform = Arc::new(TestPlatform::new().await);
    platform.user("alice").await;
    // More at once than one address may have: what is refused is nobody's guess.
    let mut crowd = JoinSet::new();
    for _ in 0..5 * FAILURES_MAX {
        let platform = Arc::clone(&platform);
        crowd.spawn(async move { login(&platform, "192.0.2.1", "alice", PASSWORD).await.status });
    }
    let statuses = crowd.join_all().await;

    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    assert_eq!(login(&platform, "192.0.2.1", "alice", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn strangers_get_no_room_for_large_bodies() {
    let platform = TestPlatform::new().await;
    let alice = platform.user("alice").await;
    let large = " ".repeat(SMALL_BODY_BYTES + 1);

    let login = platform.post(LOGIN, "", &large).await;
    assert_eq!(login.both(), (413, r#"{"detail":"Request body is larger than 16384 bytes."}"#));
    assert_eq!(platform.post("/v2/keys/", "wrong", &large).await.status, 401);
    assert_eq!(platform.post("/v2/keys/", &alice, &large).await.status, 400);
}

async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_api_answers_while_half_sent_logins_hold_all_its_connections() {
    let platform = TestPlatform::new().await;
    let alice = platform.user("alice").await;
    let proxies = vec!["127.0.0.0/8".parse().expect("a range")];
    let address = platform.serve_within(controller::api_limits(32, proxies)).await;
    let half = format!(
        "POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n{{"
    );
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(half.as_bytes()).await.expect("it is taken");
        held.push(stream);
    }

    let answer = ask(
        address,
        &format!("GET /v2/auth/whoami/ HTTP/1.1\r\nHost: x\r\nAuthorization: token {alice}\r\nConnection: close\r\n\r\n"),
    )
    .await;

    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains(r#""username":"alice""#), "{answer}");
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_with_a_sentence_over_a_connection_too() {
    let platform = TestPlatform::new().await;
    let alice = platform.user("alice").await;
    let address = platform.serve().await;
    for length in [2 * 1024 * 1024 + 1, 8 * 1024 * 1024] {
        let head = format!(
            "POST /v2/keys/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: token {alice}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = ask(address, &(head + &" ".repeat(length))).await;

        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.ends_with(r#"{"detail":"Request body is larger than 2097152 bytes."}"#), "{answer}");
    }
}

#[tokio::test]
async fn large_requests_of_one_user_from_many_addresses_leave_room_for_others() {
    let platform = TestPlatform::new().await;
    let (alice, bob) = (platform.user("alice").await, platform.user("bob").await);
    let address = platform.serve().await;
    let large = |token: &str, source: u8, sent: usize| {
        let head = format!(
            "POST /v2/keys/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: token {token}\r\n\
             X-Forwarded-For: 192.0.2.{source}\r\nContent-Type: application/json\r\nContent-Length: 2000000\r\n\r\n"
        );
        head + &" ".repeat(sent)
    };
    let mut held = Vec::new();
    for source in 1..=4 {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(large(&alice, source, 1_900_000).as_bytes()).await.expect("it is taken");
        held.push(stream);
    }
    let once = async |status: u16| loop {
        let answer = ask(address, &large(&alice, 5, 2_000_000)).await;
        if answer.starts_with(&format!("HTTP/1.1 {status} ")) {
            break answer;
        }
    };

    // Her requests hold their memory once another one is refused.
    let refused = timeout(Duration::from_secs(60), once(429)).await.expect("she has a share");
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(
        refused.ends_with(r#"{"detail":"Too many large requests of this user, try again in a moment."}"#),
        "{refused}"
    );
    let others = ask(address, &large(&bob, 1, 2_000_000)).await;
    assert!(others.starts_with("HTTP/1.1 400 ") && others.contains("JSON parse error"), "{others}");

    drop(held);
    timeout(Duration::from_secs(60), once(400)).await.expect("it is given back");
}
