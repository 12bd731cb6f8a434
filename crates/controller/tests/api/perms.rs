use crate::platform::TestPlatform;

const PERMS: &str = "/v2/apps/blog/perms/";
const FORBIDDEN: (u16, &str) = (403, r#"{"detail":"You do not have permission to perform this action."}"#);
const BOB: &str = r#"{"username":"bob"}"#;

/// An app `blog` of alice, an administrator, and bob and carol without any tie to it.
struct World {
    platform: TestPlatform,
    admin: String,
    alice: String,
    bob: String,
    carol: String,
}

async fn world() -> World {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let alice = platform.user("alice").await;
    let bob = platform.user("bob").await;
    let carol = platform.user("carol").await;
    platform.app("blog", "alice").await;
    World { platform, admin, alice, bob, carol }
}

#[tokio::test]
async fn the_owner_shares_an_app_and_takes_it_back() {
    let World { platform, alice, bob, .. } = world().await;
    assert_eq!(platform.get(PERMS, &bob).await.both(), FORBIDDEN);

    for _ in 0..2 {
        assert_eq!(platform.post(PERMS, &alice, BOB).await.both(), (201, ""));
    }
    assert_eq!(platform.get(PERMS, &bob).await.both(), (200, r#"{"users":["bob"]}"#));
    assert_eq!(platform.delete("/v2/apps/blog/perms/bob", &alice).await.both(), (204, ""));

    assert_eq!(platform.get(PERMS, &bob).await.both(), FORBIDDEN);
    assert_eq!(platform.delete("/v2/apps/blog/perms/bob", &alice).await.both(), FORBIDDEN);
    let said: Vec<_> = platform.said("blog");
    assert_eq!(said, ["User bob was granted access to blog", "User bob was revoked access to blog"]);
}

#[tokio::test]
async fn a_collaborator_does_not_share_but_may_leave() {
    let World { platform, alice, bob, carol, .. } = world().await;
    platform.post(PERMS, &alice, BOB).await;

    assert_eq!(platform.post(PERMS, &bob, r#"{"username":"carol"}"#).await.both(), FORBIDDEN);
    assert_eq!(platform.delete("/v2/apps/blog/perms/bob", &carol).await.both(), FORBIDDEN);
    assert_eq!(platform.delete("/v2/apps/blog/perms/bob", &bob).await.both(), (204, ""));
    assert_eq!(platform.get(PERMS, &bob).await.both(), FORBIDDEN);
}

#[tokio::test]
async fn administrators_share_any_app_and_count_as_collaborators() {
    let World { platform, admin, alice, .. } = world().await;

    assert_eq!(platform.post(PERMS, &admin, BOB).await.status, 201);
    assert_eq!(platform.get(PERMS, &admin).await.text(), r#"{"users":["bob"]}"#);
    assert_eq!(platform.delete("/v2/apps/blog/perms/admin", &alice).await.status, 204);
}

#[tokio::test]
async fn what_does_not_exist_is_said_before_what_is_forbidden() {
    let World { platform, alice, carol, .. } = world().await;
    let no_app = (404, r#""No App matches the given query.""#);
    let no_user = (404, r#""No User matches the given query.""#);

    assert_eq!(platform.get("/v2/apps/shop/perms/", &carol).await.both(), no_app);
    assert_eq!(platform.get("/v2/apps/1shop/perms/", &carol).await.both(), no_app);
    assert_eq!(platform.post(PERMS, &alice, r#"{"username":"nobody"}"#).await.both(), no_user);
    assert_eq!(platform.delete("/v2/apps/blog/perms/nobody", &carol).await.both(), no_user);
    assert_eq!(
        platform.post(PERMS, &alice, "{}").await.both(),
        (400, r#"{"username":["This field is required."]}"#)
    );
    assert_eq!(platform.post(PERMS, &carol, "nonsense").await.both(), FORBIDDEN);
}

#[tokio::test]
async fn a_user_with_a_dot_in_the_name_can_be_removed() {
    let World { platform, alice, .. } = world().await;
    platform.user("a.b@c").await;
    platform.post(PERMS, &alice, r#"{"username":"a.b@c"}"#).await;

    assert_eq!(platform.delete("/v2/apps/blog/perms/a.b@c", &alice).await.both(), (204, ""));
}
