//! Settings: one row an app, decided and recorded in one write, with the deploy that carries them out.

use std::collections::BTreeSet;

use domain::branch::DeployBranch;
use domain::settings::{AppSettings, RunSettings, SettingsChange, SettingsPatch};
use sqlx::{AnyConnection, Connection as _};
use store::{DeployKind, RecordedSettings};
use tokio::task::JoinSet;

use crate::changes::{app, build, built};
use crate::{Timestamp, World};

fn patch(body: &str) -> SettingsPatch {
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
    SettingsPatch::parse(body.as_object().expect("an object")).expect("a good patch")
}

impl World {
    async fn set(&self, body: &str) -> RecordedSettings {
        let patch = patch(body);
        let change = SettingsChange::Patched(&patch);
        self.store.change_settings(&app("blog"), "alice", change, Timestamp::now()).await.expect("a change")
    }

    async fn settings(&self) -> AppSettings {
        self.store.settings(&app("blog")).await.expect("settings").settings
    }
}

async fn with_build() -> World {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    let now = Timestamp::now();
    world.store.add_release(&app("blog"), "alice", built(build("web")), now).await.expect("a release");
    world
}

#[tokio::test]
async fn only_what_decides_what_runs_makes_a_deploy_and_later_deploys_keep_it() {
    let world = with_build().await;

    assert_eq!(world.set(r#"{"maintenance":true,"label":{"a":"b"}}"#).await.deploy, None);
    let ruled = world.set(r#"{"autoscale":{"web":{"min":2,"max":5,"cpu_percent":40}}}"#).await;
    let deploy =
        world.store.deploy(ruled.deploy.expect("a deploy")).await.expect("an answer").expect("a row");
    let now = Timestamp::now();
    let recorded = world.store.add_release(&app("blog"), "alice", built(build("web worker")), now).await;
    let later = recorded.expect("a release").deploy.expect("a deploy");
    let later = world.store.deploy(later).await.expect("an answer").expect("a row");

    assert_eq!((deploy.version, deploy.kind), (2, DeployKind::Scale));
    assert_eq!(deploy.run, ruled.record.settings.of_running(BTreeSet::new()));
    assert_eq!(later.run, deploy.run);
}

#[tokio::test]
async fn a_change_that_was_taken_back_leaves_a_newer_one_alone() {
    let world = with_build().await;
    let before = world.settings().await;
    let first = world.set(r#"{"routable":false}"#).await;
    world.store.take_settings_back(&first).await.expect("an answer");
    assert_eq!(world.settings().await, before);

    let second = world.set(r#"{"routable":false}"#).await;
    world.set(r#"{"maintenance":true}"#).await;
    world.store.take_settings_back(&second).await.expect("an answer");

    let kept = world.settings().await;
    assert!(kept.maintenance && !kept.routable);
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_kept() {
    let world = with_build().await;
    let mut changes = JoinSet::new();
    for number in 0..20 {
        let store = world.store.clone();
        changes.spawn(async move {
            let address = [format!("10.0.0.{number}")];
            let change = SettingsChange::Admitted(&address);
            store.change_settings(&app("blog"), "alice", change, Timestamp::now()).await.map(drop)
        });
    }
    for done in changes.join_all().await {
        done.expect("a change");
    }

    assert_eq!(world.settings().await.whitelist.len(), 20);
}

#[tokio::test]
async fn an_app_of_an_older_platform_has_the_settings_of_a_new_one() {
    let world = with_build().await;
    let mut raw = AnyConnection::connect(&world.database.url).await.expect("the database answers");
    for statement in ["DELETE FROM app_settings", "DELETE FROM app_tls", "UPDATE deploys SET run = NULL"] {
        sqlx::query(statement).execute(&mut raw).await.expect("it is done");
    }

    let blog = app("blog");
    assert_eq!(world.settings().await, AppSettings::default());
    assert_eq!(world.store.tls(&blog).await.expect("an answer").https_enforced, None);
    let deploy = world.store.open_deploy(&blog).await.expect("an answer").expect("a deploy");
    assert_eq!(deploy.run, RunSettings::default());
    assert!(world.set(r#"{"maintenance":true}"#).await.record.settings.maintenance);
}

#[tokio::test]
async fn the_first_branch_that_is_deployed_is_kept_and_a_chosen_one_is_not_replaced() {
    let world = with_build().await;
    let deployed = async |name: &str| {
        let branch = DeployBranch::Named(name.to_owned());
        world
            .store
            .keep_git_branch(&app("blog"), "alice", branch, Timestamp::now())
            .await
            .expect("it is kept");
        world.settings().await.git_branch.map(String::from)
    };
    assert!(world.set(r#"{"maintenance":true}"#).await.record.settings.git_branch.is_none());

    assert_eq!(deployed("master").await.as_deref(), Some("master"));
    assert_eq!(deployed("main").await.as_deref(), Some("master"));
    assert_eq!(world.set(r#"{"git_branch":"*"}"#).await.deploy, None);
    assert_eq!(deployed("main").await.as_deref(), Some("*"));
    assert!(world.settings().await.maintenance);
}
