//! `/v2/apps/{app}/lock/` (docs/spec/api.md 4.5): a locked app is neither deployed, scaled nor destroyed.

use serde_json::Value;

use crate::hooks::{build, tell};
use crate::platform::Answer;
use crate::world::{FORBIDDEN, NO_APP, World};

const LOCK: &str = "/v2/apps/blog/lock/";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The sentence of every refusal.
fn sentence(lock: &Value, reason: &str) -> String {
    let (user, since) = (lock["user"].as_str().expect("a user"), lock["since"].as_str().expect("a time"));
    format!("blog is locked by {user} since {since}{reason}; unlock it with deis apps:unlock")
}

fn is_refused(answer: &Answer, sentence: &str) -> bool {
    answer.status == 409 && answer.json()["detail"] == sentence
}

#[tokio::test]
async fn a_locked_app_is_neither_deployed_scaled_nor_destroyed_until_it_is_unlocked() {
    let world = World::new().await;
    world.deploy("blog", "example/web:1").await;
    world.deploy("blog", "example/web:2").await;

    let lock = world.post(LOCK, r#"{"reason":"audit of the year"}"#).await;
    let sentence = sentence(&lock.json(), ": \"audit of the year\"");

    assert_eq!(lock.status, 201, "{}", lock.text());
    let push = r#"{"receive_user":"bob","receive_repo":"blog"}"#;
    for (path, body) in [
        ("builds/", r#"{"image":"example/web:1"}"#),
        ("config/", r#"{"values":{"A":"1"}}"#),
        ("releases/rollback/", ""),
        ("scale/", r#"{"cmd":2}"#),
        ("lock/", r#"{"reason":"another"}"#),
    ] {
        for token in [&world.alice, &world.admin] {
            let answer = world.platform.post(&format!("/v2/apps/blog/{path}"), token, body).await;
            assert!(is_refused(&answer, &sentence), "{path}: {}", answer.text());
        }
    }
    let destroyed = world.delete("/v2/apps/blog/").await;
    let prepared = tell(&world, "/v2/hooks/config/", push).await;
    let pushed = tell(&world, "/v2/hooks/build/", &build("bob", DIGEST, r#"{"web":"serve"}"#)).await;
    for answer in [destroyed, prepared, pushed] {
        assert!(is_refused(&answer, &sentence), "{}", answer.text());
    }
    assert_eq!(world.get("/v2/apps/blog/releases/").await.json()["count"], 3);
    assert_eq!(world.get("/v2/apps/blog/").await.json()["lock"], lock.json());

    assert_eq!(world.delete(LOCK).await.both(), (204, ""));

    assert!(world.get("/v2/apps/blog/").await.json().get("lock").is_none());
    assert_eq!(tell(&world, "/v2/hooks/config/", push).await.status, 200);
    assert_eq!(world.post("/v2/apps/blog/scale/", r#"{"cmd":2}"#).await.status, 204);
    assert_eq!(world.delete("/v2/apps/blog/").await.status, 204);
}

#[tokio::test]
async fn all_else_goes_on_while_an_app_is_locked() {
    let world = World::new().await;
    world.deploy("blog", "example/web").await;
    assert_eq!(world.post(LOCK, "").await.status, 201);

    for (path, body, status) in [
        ("settings/", r#"{"maintenance":true}"#, 201),
        ("domains/", r#"{"domain":"www.foo.com"}"#, 201),
        ("run", r#"{"command":"true"}"#, 200),
        ("pods/restart/", "", 200),
        ("", r#"{"owner":"bob"}"#, 200),
    ] {
        let answer = world.post(&format!("/v2/apps/blog/{path}"), body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let access = tell(&world, "/v2/hooks/access/", r#"{"receive_user":"bob","receive_repo":"blog"}"#).await;
    assert_eq!(access.status, 200, "a clone is served: {}", access.text());
}

#[tokio::test]
async fn the_owner_and_administrators_lock_and_unlock_and_nobody_else() {
    let world = World::new().await;
    let platform = &world.platform;

    for token in [&world.bob, &world.carol] {
        assert_eq!(platform.post(LOCK, token, "").await.both(), FORBIDDEN);
        assert_eq!(platform.delete(LOCK, token).await.both(), FORBIDDEN);
    }
    for (token, user) in [(&world.alice, "alice"), (&world.admin, "admin")] {
        let lock = platform.post(LOCK, token, "").await;
        assert_eq!((lock.status, &lock.json()["user"]), (201, &user.into()), "{}", lock.text());
        assert!(is_refused(&world.delete("/v2/apps/blog/").await, &sentence(&lock.json(), "")));
        assert_eq!(platform.delete(LOCK, token).await.both(), (204, ""), "{user}");
    }
    assert_eq!(world.delete(LOCK).await.both(), (422, r#"{"detail":"blog is not locked"}"#));
    assert_eq!(world.post("/v2/apps/none/lock/", "").await.both(), NO_APP);
    let said = platform.said("blog");
    assert!(said.iter().any(|line| line.starts_with("blog is locked by alice since ")), "{said:?}");
    assert!(said.iter().any(|line| line == "admin unlocked blog"), "{said:?}");
}

#[tokio::test]
async fn a_reason_is_one_short_line() {
    let world = World::new().await;
    let long = "x".repeat(201);

    for (reason, message) in [
        (long.as_str(), "Ensure this field has no more than 200 characters."),
        ("a\nb", "Give one line of text, without control characters."),
        ("a\u{1b}[2Jb", "Give one line of text, without control characters."),
    ] {
        let answer = world.post(LOCK, &serde_json::json!({"reason": reason}).to_string()).await;
        assert_eq!((answer.status, &answer.json()["reason"][0]), (400, &message.into()), "{reason:?}");
    }
    assert_eq!(world.delete(LOCK).await.status, 422);
}
