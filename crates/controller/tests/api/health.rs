use testkit::{WAIT_MAX, wait_until};

use crate::disk::SmallDisk;
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

/// SQLite only: it is the platform's own disk.
#[tokio::test]
async fn a_full_disk_is_507_with_what_to_do_and_not_ready_and_both_heal_by_themselves() {
    let Some(disk) = SmallDisk::new(4 << 10) else { return };
    let url = format!("sqlite://{}/workflow.db", disk.path().display());
    let platform = TestPlatform::at(&url).await;
    let token = platform.user("alice").await;
    disk.fill(0);
    let create = async |number: u32| {
        let body = format!(r#"{{"id":"app-{number}"}}"#);
        platform.post("/v2/apps/", &token, &body).await
    };

    let mut refused = create(0).await;
    for number in 1..1_000 {
        if refused.status != 201 {
            break;
        }
        refused = create(number).await;
    }

    assert_eq!(refused.status, 507, "{}", refused.text());
    assert!(refused.text().contains("Tell the operator to free space"), "{}", refused.text());
    until(&platform, 507).await;
    assert_eq!(platform.get("/v2/apps/", &token).await.status, 200, "what is recorded can be read");
    disk.free();
    assert_eq!(create(1_000).await.status, 201);
    until(&platform, 200).await;
}

/// A proof holds for a second.
async fn until(platform: &TestPlatform, status: u16) {
    let tells = async || platform.get("/readiness", "").await.status == status;
    wait_until("readiness tells", WAIT_MAX, tells).await;
}
