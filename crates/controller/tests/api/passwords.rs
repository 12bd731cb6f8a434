use serde_json::{Value, json};

use crate::platform::{PASSWORD, TestPlatform};

async fn passwd(platform: &TestPlatform, token: &str, body: Value) -> (u16, String) {
    let answer = platform.post("/v2/auth/passwd/", token, &body.to_string()).await;
    (answer.status, answer.text().to_owned())
}

async fn can_log_in(platform: &TestPlatform, name: &str, password: &str) -> bool {
    let body = json!({"username": name, "password": password}).to_string();
    platform.post("/v2/auth/login/", "", &body).await.status == 200
}

const SET: &str = r#"{"status":"password set"}"#;

#[tokio::test]
async fn a_user_changes_the_own_password_by_showing_the_current_one() {
    let platform = TestPlatform::new().await;
    platform.user("admin").await;
    let bob = platform.user("bob").await;

    let changed =
        passwd(&platform, &bob, json!({"password": PASSWORD, "new_password": "new horse staple"})).await;

    assert_eq!(changed, (200, SET.to_owned()));
    assert!(can_log_in(&platform, "bob", "new horse staple").await);
    assert!(!can_log_in(&platform, "bob", PASSWORD).await);
    assert_eq!(platform.get("/v2/auth/whoami/", &bob).await.status, 200);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_said_in_turn() {
    let platform = TestPlatform::new().await;
    platform.user("admin").await;
    let bob = platform.user("bob").await;
    let detail = |text: &str| json!({"detail": text}).to_string();

    for body in [json!({}), json!({"new_password": ""}), json!({"new_password": null})] {
        let answer = passwd(&platform, &bob, body).await;
        assert_eq!(answer, (400, detail("new_password is a required field")));
    }
    let without = passwd(&platform, &bob, json!({"new_password": "new horse staple"})).await;
    assert_eq!(without, (400, detail("password is a required field")));
    let wrong =
        passwd(&platform, &bob, json!({"new_password": "new horse staple", "password": "wrong"})).await;
    assert_eq!(wrong, (401, detail("Current password does not match")));
    let other = json!({"new_password": "new horse staple", "password": PASSWORD, "username": "admin"});
    assert_eq!(passwd(&platform, &bob, other).await.0, 403);
    let long = json!({"new_password": "x".repeat(129), "password": PASSWORD});
    assert_eq!(passwd(&platform, &bob, long).await.0, 400);
    assert!(can_log_in(&platform, "bob", PASSWORD).await);
}

#[tokio::test]
async fn an_administrator_sets_any_password_without_the_current_one() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    platform.user("bob").await;

    let bobs =
        passwd(&platform, &admin, json!({"new_password": "new horse staple", "username": "bob"})).await;
    let own = passwd(&platform, &admin, json!({"new_password": "second horse staple"})).await;
    let nobodys =
        passwd(&platform, &admin, json!({"new_password": "new horse staple", "username": "nobody"})).await;

    assert_eq!(bobs, (200, SET.to_owned()));
    assert_eq!(own, (200, SET.to_owned()));
    assert_eq!(nobodys, (404, r#""No User matches the given query.""#.to_owned()));
    assert!(can_log_in(&platform, "bob", "new horse staple").await);
    assert!(can_log_in(&platform, "admin", "second horse staple").await);
}

#[tokio::test]
async fn a_changed_password_ends_every_other_token_and_keeps_the_one_that_changed_it() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let bob = platform.user("bob").await;
    let login = json!({"username": "bob", "password": PASSWORD}).to_string();
    let login = async || {
        let answer = platform.post("/v2/auth/login/", "", &login).await;
        answer.json()["token"].as_str().expect("a token").to_owned()
    };
    let (second, third) = (login().await, login().await);
    let is_valid = async |token: &str| platform.get("/v2/auth/whoami/", token).await.status == 200;

    let body = json!({"password": PASSWORD, "new_password": "new horse staple"});
    assert_eq!(passwd(&platform, &second, body).await, (200, SET.to_owned()));
    assert!(is_valid(&second).await);
    assert!(!is_valid(&bob).await && !is_valid(&third).await);

    // An administrator who sets it keeps nothing of the user's.
    let body = json!({"username": "bob", "new_password": "third horse staple"});
    assert_eq!(passwd(&platform, &admin, body).await, (200, SET.to_owned()));
    assert!(!is_valid(&second).await);
    assert!(is_valid(&admin).await);
}

#[tokio::test]
async fn a_weak_password_is_refused_on_its_field_and_one_that_is_there_keeps_working() {
    let platform = TestPlatform::new().await;
    platform.user("admin").await;
    // Set before there was a policy.
    let bob = platform.user("bob").await;
    assert!(can_log_in(&platform, "bob", PASSWORD).await);

    for (weak, why) in [
        ("short", "This password is too short. It must contain at least 8 characters."),
        ("bobbobbob", "The password is too similar to the username or email address."),
        (
            "password1",
            "This password is too common: it is among the first that are tried. Choose a longer one.",
        ),
    ] {
        let (status, body) =
            passwd(&platform, &bob, json!({"password": PASSWORD, "new_password": weak})).await;
        assert_eq!((status, body), (400, json!({"new_password": [why]}).to_string()));
    }
    assert!(can_log_in(&platform, "bob", PASSWORD).await);
}
