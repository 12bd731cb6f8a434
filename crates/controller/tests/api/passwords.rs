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

    let changed = passwd(&platform, &bob, json!({"password": PASSWORD, "new_password": "new"})).await;

    assert_eq!(changed, (200, SET.to_owned()));
    assert!(can_log_in(&platform, "bob", "new").await);
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
    let without = passwd(&platform, &bob, json!({"new_password": "new"})).await;
    assert_eq!(without, (400, detail("password is a required field")));
    let wrong = passwd(&platform, &bob, json!({"new_password": "new", "password": "wrong"})).await;
    assert_eq!(wrong, (401, detail("Current password does not match")));
    let other = json!({"new_password": "new", "password": PASSWORD, "username": "admin"});
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

    let bobs = passwd(&platform, &admin, json!({"new_password": "new", "username": "bob"})).await;
    let own = passwd(&platform, &admin, json!({"new_password": "new2"})).await;
    let nobodys = passwd(&platform, &admin, json!({"new_password": "new", "username": "nobody"})).await;

    assert_eq!(bobs, (200, SET.to_owned()));
    assert_eq!(own, (200, SET.to_owned()));
    assert_eq!(nobodys, (404, r#""No User matches the given query.""#.to_owned()));
    assert!(can_log_in(&platform, "bob", "new").await);
    assert!(can_log_in(&platform, "admin", "new2").await);
}
