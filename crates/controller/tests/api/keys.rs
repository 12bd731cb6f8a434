use serde_json::{Value, json};

use crate::platform::{Answer, TestPlatform};

/// The blob is `hello`.
const KEY: &str = "ssh-x aGVsbG8=";

async fn add(platform: &TestPlatform, token: &str, id: &str, public: &str) -> Answer {
    platform.post("/v2/keys/", token, &json!({"id": id, "public": public}).to_string()).await
}

#[tokio::test]
async fn a_key_is_added_shown_and_removed() {
    let platform = TestPlatform::new().await;
    let alice = platform.user("alice").await;

    let added = add(&platform, &alice, "me@laptop/2.pub", &format!("{KEY} me")).await;

    assert_eq!(added.status, 201);
    let body = added.json();
    let names: Vec<_> = body.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["uuid", "owner", "created", "updated", "id", "public", "fingerprint"]);
    assert_eq!(body["fingerprint"], "5d:41:40:2a:bc:4b:2a:76:b9:71:9d:91:10:17:c5:92");
    assert_eq!((&body["owner"], &body["public"]), (&json!("alice"), &json!("ssh-x aGVsbG8= me")));

    assert_eq!(platform.get("/v2/keys/me@laptop/2.pub", &alice).await.text(), added.text());
    assert_eq!(platform.delete("/v2/keys/me@laptop/2.pub", &alice).await.both(), (204, ""));
    let gone = platform.get("/v2/keys/me@laptop/2.pub", &alice).await;
    assert_eq!(gone.both(), (404, r#""No Key matches the given query.""#));
}

#[tokio::test]
async fn keys_are_listed_by_their_text() {
    let platform = TestPlatform::new().await;
    let alice = platform.user("alice").await;
    for (id, public) in [("1", "ssh-x d29ybGQ="), ("2", KEY), ("3", "Ssh-x Zm9v")] {
        assert_eq!(add(&platform, &alice, id, public).await.status, 201);
    }

    let list = platform.get("/v2/keys/?limit=0", &alice).await.json();

    let ids: Vec<_> = list["results"].as_array().expect("a list").iter().map(|key| &key["id"]).collect();
    assert_eq!(ids, ["3", "2", "1"]);
    assert_eq!(list["count"], 3);
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let platform = TestPlatform::new().await;
    let alice = platform.user("alice").await;
    let refusal = |name: &str, text: &str| -> Value { json!({name: [text]}) };

    let blank = add(&platform, &alice, "a", " ").await;
    assert_eq!((blank.status, blank.json()), (400, refusal("public", "This field may not be blank.")));
    for bad in ["ssh-rsa", "ssh-rsa !!!"] {
        let bad = add(&platform, &alice, "a", bad).await;
        assert_eq!((bad.status, bad.json()), (400, refusal("public", "Key contains invalid base64 chars")));
    }
    let long = add(&platform, &alice, &"x".repeat(129), KEY).await;
    assert_eq!(long.json(), refusal("id", "Ensure this field has no more than 128 characters."));
    let nul = add(&platform, &alice, "a\0", KEY).await;
    assert_eq!((nul.status, nul.json()), (400, refusal("id", "Null characters are not allowed.")));
}

#[tokio::test]
async fn a_name_or_key_that_anybody_has_is_refused() {
    let platform = TestPlatform::new().await;
    let alice = platform.user("alice").await;
    let bob = platform.user("bob").await;
    add(&platform, &alice, "laptop", KEY).await;

    let name = add(&platform, &bob, "laptop", "ssh-x d29ybGQ=").await;
    let others = add(&platform, &bob, "desktop", &format!("{KEY} another comment")).await;
    let own = add(&platform, &alice, "desktop", &format!("{KEY} another comment")).await;

    assert_eq!(name.both(), (400, r#"{"id":["SSH Key with this id already exists."]}"#));
    assert_eq!(others.both(), (400, r#"{"public":["Public Key is already in use"]}"#));
    assert_eq!(own.both(), (400, r#"{"public":["Public Key is already in use"]}"#));
}

#[tokio::test]
async fn nobody_reaches_the_keys_of_others_not_even_administrators() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let bob = platform.user("bob").await;
    add(&platform, &bob, "laptop", KEY).await;

    assert_eq!(platform.get("/v2/keys/", &admin).await.json()["count"], 0);
    assert_eq!(platform.get("/v2/keys/laptop", &admin).await.status, 404);
    assert_eq!(platform.delete("/v2/keys/laptop", &admin).await.status, 404);
    assert_eq!(platform.get("/v2/keys/laptop/", &bob).await.status, 404);
    assert_eq!(platform.get("/v2/keys/laptop", &bob).await.status, 200);
}
