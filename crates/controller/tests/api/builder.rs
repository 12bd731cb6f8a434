//! The setting `builder`, and builds with Cloud Native Buildpacks (docs/spec/api.md 4.16, 4.20).

use serde_json::json;

use crate::hooks::tell;
use crate::world::World;

const SETTINGS: &str = "/v2/apps/blog/settings/";
const ACCESS: &str = r#"{"receive_user":"alice","receive_repo":"blog"}"#;

#[tokio::test]
async fn a_builder_is_chosen_told_to_the_builder_and_given_up() {
    let world = World::new().await;

    let chosen = world.post(SETTINGS, r#"{"builder":"builders/base:1"}"#).await;
    let access = tell(&world, "/v2/hooks/access/", ACCESS).await.json();
    let given_up = world.post(SETTINGS, r#"{"builder":""}"#).await;

    assert_eq!((chosen.status, &chosen.json()["builder"]), (201, &json!("builders/base:1")));
    assert_eq!(access["builder"], "builders/base:1");
    assert_eq!((given_up.status, &given_up.json()["builder"]), (201, &json!(null)));
}

#[tokio::test]
async fn a_builder_that_is_none_and_that_of_a_platform_without_one_are_refused() {
    let world = World::new().await;

    let wrong = world.post(SETTINGS, r#"{"builder":"A b"}"#).await;
    let none = world.post(SETTINGS, r#"{"builder":"default"}"#).await;

    assert!(wrong.json()["builder"][0].as_str().is_some_and(|text| text.contains("is no builder")));
    let told = "the platform has no builder of its own; give the name of an image";
    assert_eq!((none.status, none.json()), (400, json!({"builder": [told]})));
}

#[tokio::test]
async fn a_build_has_the_processes_of_its_image_but_where_a_procfile_has_others() {
    let world = World::new().await;
    let digest = format!("sha256:{}", "7".repeat(64));
    let body = json!({
        "receive_user": "alice", "receive_repo": "blog", "sha": "1a2b3c4d", "image": digest, "dockerfile": "",
        "procfile": {"worker": "work"}, "ports": [8080], "image_processes": ["web", "worker"],
    });

    let answer = tell(&world, "/v2/hooks/build/", &body.to_string()).await;

    assert_eq!(answer.status, 200, "{}", answer.json());
    let build = world.get("/v2/apps/blog/builds/").await.json()["results"][0].clone();
    assert_eq!(build["procfile"], json!({"web": "", "worker": "work"}));
    let running = world.platform.running("blog").await;
    let web = running.iter().find(|workload| workload.id.process.as_str() == "web").expect("it runs");
    assert_eq!(web.command, Some(vec!["/cnb/process/web".to_owned()]));
    assert_eq!((web.args.clone(), web.port), (None, Some(5000)));
}
