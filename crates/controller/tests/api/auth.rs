use serde_json::json;

use crate::platform::{PASSWORD, TestPlatform};

const LOGIN: &str = "/v2/auth/login/";

async fn login(platform: &TestPlatform, name: &str, password: &str) -> (u16, serde_json::Value) {
    let body = json!({"username": name, "password": password}).to_string();
    let answer = platform.post(LOGIN, "", &body).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn each_login_makes_a_token_and_the_others_go_on() {
    let platform = TestPlatform::new().await;
    let old = platform.user("alice").await;

    let (status, body) = login(&platform, " alice ", PASSWORD).await;

    assert_eq!(status, 200);
    let token = body["token"].as_str().expect("a token");
    assert!(token.len() == 40 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    assert_ne!(token, old);
    for token in [token, &old] {
        assert_eq!(platform.get("/v2/auth/whoami/", token).await.json()["username"], "alice");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let platform = TestPlatform::new().await;
    platform.user("alice").await;
    let refused = json!({"non_field_errors": ["Unable to log in with provided credentials."]});

    for (name, password) in
        [("alice", "wrong"), ("alice", " s3cret horse"), ("nobody", PASSWORD), ("ALICE", PASSWORD)]
    {
        assert_eq!(login(&platform, name, password).await, (400, refused.clone()), "{name} {password}");
    }
}

#[tokio::test]
async fn a_login_without_fields_says_which_are_missing() {
    let platform = TestPlatform::new().await;

    let answer = platform.post(LOGIN, "", "{}").await;

    assert_eq!(
        answer.both(),
        (400, r#"{"username":["This field is required."],"password":["This field is required."]}"#)
    );
}

#[tokio::test]
async fn a_registered_user_can_log_in_with_a_password_that_has_outer_blanks() {
    let platform = TestPlatform::new().await;
    let body = r#"{"username":"alice","password":" s3cret horse "}"#;
    assert_eq!(platform.post("/v2/auth/register/", "", body).await.status, 201);

    assert_eq!(login(&platform, "alice", " s3cret horse ").await.0, 200);
    assert_eq!(login(&platform, "alice", "s3cret horse").await.0, 400);
}

#[tokio::test]
async fn a_cancelled_account_is_gone_with_its_tokens() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let bob = platform.user("bob").await;

    let others = platform.send(crate::platform::request(
        axum::http::Method::DELETE,
        "/v2/auth/cancel/",
        &bob,
        r#"{"username":"admin"}"#,
    ));
    assert_eq!(others.await.status, 403);
    let own = platform.delete("/v2/auth/cancel/", &bob).await;

    assert_eq!(own.both(), (204, ""));
    assert_eq!(platform.get("/v2/auth/whoami/", &bob).await.both(), (401, r#"{"detail":"Invalid token."}"#));
    assert_eq!(login(&platform, "bob", PASSWORD).await.0, 400);
    assert_eq!(platform.delete("/v2/auth/cancel/", &admin).await.status, 204);
}

#[tokio::test]
async fn an_administrator_cancels_anyone_who_exists_and_owns_no_app() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    platform.user("bob").await;
    platform.user("carol").await;
    platform.app("blog", "bob").await;
    let cancel = async |name: &str| {
        let body = json!({"username": name}).to_string();
        let path = "/v2/auth/cancel/";
        platform.send(crate::platform::request(axum::http::Method::DELETE, path, &admin, &body)).await
    };

    assert_eq!(cancel("nobody").await.both(), (404, r#""No User matches the given query.""#));
    assert_eq!(
        cancel("bob").await.both(),
        (409, r#"{"detail":"bob still has applications assigned. Delete or transfer ownership"}"#)
    );
    assert_eq!(cancel("carol").await.status, 204);
}

#[tokio::test]
async fn who_guesses_passwords_has_to_wait_and_others_do_not() {
    let platform = TestPlatform::new().await;
    platform.user("alice").await;
    platform.user("bob").await;
    for _ in 0..domain::throttle::FAILURES_MAX {
        assert_eq!(login(&platform, "alice", "wrong").await.0, 400);
    }

    let (status, body) = login(&platform, "alice", PASSWORD).await;

    assert_eq!(status, 429, "{body}");
    assert!(body["detail"].as_str().expect("a text").starts_with("Too many failed logins, try again in "));
    assert_eq!(login(&platform, "bob", PASSWORD).await.0, 200);
    let body = json!({"username": "alice", "password": PASSWORD}).to_string();
    let mut elsewhere = crate::platform::request(axum::http::Method::POST, LOGIN, "", &body);
    elsewhere.headers_mut().insert("x-forwarded-for", "192.0.2.1".parse().expect("a value"));
    assert_eq!(platform.send(elsewhere).await.status, 200);
}
