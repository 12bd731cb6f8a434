use crate::platform::TestPlatform;

#[tokio::test]
async fn health_is_told_to_anyone_without_a_trailing_slash() {
    let platform = TestPlatform::new().await;

    for path in ["/healthz", "/readiness"] {
        let answer = platform.get(path, "").await;
        assert_eq!(answer.both(), (200, "OK"), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.header("deis_api_version"), Some("2.3"));
        assert_eq!(platform.get(&format!("{path}/"), "").await.status, 404);
    }
}

#[tokio::test]
async fn without_its_database_the_controller_is_alive_but_not_ready() {
    let platform = TestPlatform::new().await;
    platform.controller.store.close().await;

    assert_eq!(platform.get("/healthz", "").await.status, 200);
    let answer = platform.get("/readiness", "").await;
    assert_eq!(answer.both(), (503, r#"{"detail":"The database does not answer, try again."}"#));
    assert_eq!(platform.get("/v2/", "0123").await.status, 503);
}
