use crate::platform::TestPlatform;

const PERMS: &str = "/v2/admin/perms/";
const NO_USER: (u16, &str) = (404, r#""No User matches the given query.""#);

#[tokio::test]
async fn administrators_promote_and_demote_each_other_and_themselves() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let bob = platform.user("bob").await;

    assert_eq!(platform.post(PERMS, &admin, r#"{"username":"bob"}"#).await.both(), (201, ""));
    assert_eq!(
        platform.get(PERMS, &bob).await.both(),
        (
            200,
            r#"{"count":2,"next":null,"previous":null,"results":[{"username":"admin","is_superuser":true},{"username":"bob","is_superuser":true}]}"#
        )
    );
    for _ in 0..2 {
        assert_eq!(platform.delete("/v2/admin/perms/admin", &bob).await.both(), (204, ""));
    }
    assert_eq!(platform.delete("/v2/admin/perms/bob/", &bob).await.both(), (204, ""));
    assert_eq!(platform.get(PERMS, &bob).await.status, 403);
}

#[tokio::test]
async fn an_unknown_or_missing_name_is_said() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;

    assert_eq!(platform.post(PERMS, &admin, r#"{"username":"nobody"}"#).await.both(), NO_USER);
    assert_eq!(platform.delete("/v2/admin/perms/nobody", &admin).await.both(), NO_USER);
    assert_eq!(
        platform.post(PERMS, &admin, "").await.both(),
        (400, r#"{"username":["This field is required."]}"#)
    );
}

#[tokio::test]
async fn others_are_refused_whatever_they_want() {
    let platform = TestPlatform::new().await;
    platform.user("admin").await;
    let bob = platform.user("bob").await;

    assert_eq!(platform.get(PERMS, &bob).await.status, 403);
    assert_eq!(platform.post(PERMS, &bob, r#"{"username":"bob"}"#).await.status, 403);
    assert_eq!(platform.delete("/v2/admin/perms/nobody", &bob).await.status, 403);
}
