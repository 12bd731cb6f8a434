//! `/v2/apps/{app}/settings/` (api.md 4.16), read only so far.

use crate::world::{FORBIDDEN, NO_APP, World};

#[tokio::test]
async fn a_new_app_is_routable_and_not_in_maintenance() {
    let world = World::new().await;

    let answer = world.platform.get("/v2/apps/blog/settings/", &world.bob).await;

    let row = answer.json();
    let text = |name: &str| row[name].as_str().expect("a text");
    let whole = format!(
        r#"{{"uuid":"{}","app":"blog","owner":"alice","autoscale":{{}},"label":{{}},"created":"{}","updated":"{}","maintenance":false,"routable":true,"whitelist":[]}}"#,
        text("uuid"),
        text("created"),
        text("updated"),
    );
    assert_eq!(answer.both(), (200, whole.as_str()));
}

#[tokio::test]
async fn only_those_who_may_use_the_app_read_its_settings() {
    let world = World::new().await;

    assert_eq!(world.platform.get("/v2/apps/blog/settings/", &world.carol).await.both(), FORBIDDEN);
    assert_eq!(world.platform.get("/v2/apps/none/settings/", &world.carol).await.both(), NO_APP);
}
