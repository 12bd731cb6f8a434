//! Changes: releases and scales, each decided and recorded in one write.

use std::collections::BTreeMap;

use domain::build::{Build, Launch, Origin};
use domain::config::{Config, ConfigPatch, Texts};
use domain::release::ProcfileRules;
use domain::stacks::StackName;
use domain::structure::{Structure, in_words};
use domain::{AppName, Digest, Image, ProcessType};
use store::{
    ChangeError, CreatedApp, DeployState, DeployStepKind, NewApp, PageRange, RecordedChange, ReleaseChange,
    StepOutcome, StoreError,
};
use tokio::task::JoinSet;

use crate::{Timestamp, World};

pub fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}

/// A pushed build with these process types.
pub fn build(types: &str) -> Build {
    let command = |name: &str| (ProcessType::parse(name).expect("a good type"), format!("run-{name}"));
    let image = Image::Built { app: app("blog"), digest: Digest::of(types.as_bytes()) };
    Build {
        origin: Origin::Buildpack,
        reference: "blog".to_owned(),
        sha: "1a2b3c4d".to_owned(),
        procfile: types.split_whitespace().map(command).collect(),
        launch: Launch::of(Origin::Buildpack, image, &[]),
        stack: None,
        launches: BTreeMap::new(),
        reason: String::new(),
    }
}

pub fn built(build: Build) -> ReleaseChange<'static> {
    ReleaseChange::Built {
        build: Box::new(build),
        rules: ProcfileRules { reject_if_missing: false, remove_if_missing: true },
    }
}

pub struct Configured(ConfigPatch, Texts);

pub fn configured(body: &str) -> Configured {
    let body: BTreeMap<String, serde_json::Value> = serde_json::from_str(body).expect("an object");
    Configured(ConfigPatch::parse(&body.into_iter().collect()).expect("a good patch"), Texts::new())
}

impl Configured {
    pub fn change(&self) -> ReleaseChange<'_> {
        ReleaseChange::Configured { patch: &self.0, default_tags: &self.1 }
    }
}

fn structure(text: &str) -> Structure {
    let entries = text.split_whitespace().map(|entry| entry.split_once('=').expect("type=number"));
    entries
        .map(|(process, count)| {
            (ProcessType::parse(process).expect("a type"), count.parse().expect("a number"))
        })
        .collect()
}

impl World {
    pub async fn try_app(&self, name: &str, owner: &str) -> Result<CreatedApp, StoreError> {
        let owner = owner.to_owned();
        let new = NewApp {
            id: app(name),
            owner,
            config: Config::default(),
            stack: StackName::bookworm(),
            now: Timestamp::now(),
        };
        self.store.create_app(new).await
    }

    pub async fn app(&self, name: &str, owner: &str) -> CreatedApp {
        self.try_app(name, owner).await.expect("a new app")
    }

    pub async fn try_change(
        &self,
        name: &str,
        owner: &str,
        change: ReleaseChange<'_>,
    ) -> Result<RecordedChange, ChangeError> {
        self.store.add_release(&app(name), owner, change, Timestamp::now()).await
    }

    pub async fn change(&self, name: &str, owner: &str, change: ReleaseChange<'_>) -> RecordedChange {
        self.try_change(name, owner, change).await.expect("a recorded change")
    }

    async fn scale(&self, replicas: &str) -> i64 {
        let scale = self.store.add_scale(&app("blog"), &structure(replicas), Timestamp::now()).await;
        scale.expect("a recorded change").expect("a change")
    }

    /// A world with alice's app and a first good deploy of it.
    async fn with_good_release() -> Self {
        let world = Self::new().await;
        world.user("alice").await;
        world.app("blog", "alice").await;
        let recorded = world.change("blog", "alice", built(build("web worker"))).await;
        world.succeed(recorded.deploy.expect("a deploy")).await;
        world
    }

    async fn succeed(&self, deploy: i64) {
        assert!(self.store.begin_deploy(deploy, Timestamp::now()).await.expect("noted"));
        assert!(self.store.succeed_deploy(deploy, Timestamp::now()).await.expect("noted"));
    }

    async fn fail(&self, deploy: i64, reason: &str) {
        assert!(self.store.fail_deploy(deploy, reason, Timestamp::now()).await.expect("noted"));
    }

    async fn state(&self, deploy: i64) -> (DeployState, Option<i64>) {
        let deploy = self.store.deploy(deploy).await.expect("an answer").expect("a deploy");
        (deploy.state, deploy.successor)
    }

    async fn wanted(&self) -> String {
        in_words(&self.store.structure(&app("blog")).await.expect("an answer"))
    }
}

#[tokio::test]
async fn a_build_becomes_a_release_with_a_deploy_that_is_to_be_carried_out() {
    let world = World::new().await;
    world.user("alice").await;
    let first = world.app("blog", "alice").await;

    let recorded = world.change("blog", "alice", built(build("web"))).await;

    let content = world.store.current_content(&app("blog")).await.expect("a release");
    assert_eq!((content.release.version, &content.release.config), (2, &first.config.uuid));
    assert_eq!(content.build, recorded.build);
    let open = world.store.open_deploy(&app("blog")).await.expect("an answer").expect("a deploy");
    assert_eq!((Some(open.id), open.version, open.state), (recorded.deploy, 2, DeployState::Pending));
    assert_eq!(world.wanted().await, "web=1");
    assert_eq!(world.store.apps_with_work().await.expect("a list"), [app("blog")]);
    let builds = world.store.builds(&app("blog"), PageRange::ALL).await.expect("a list");
    assert_eq!((builds.count, builds.rows.first()), (1, recorded.build.as_ref()));
}

#[tokio::test]
async fn a_config_without_a_build_is_a_release_with_nothing_to_deploy() {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;

    let recorded = world.change("blog", "alice", configured(r#"{"values":{"A":"1"}}"#).change()).await;

    assert_eq!((recorded.release.version, recorded.deploy), (2, None));
    assert_eq!(world.store.current_config(&app("blog")).await.expect("a config").config.values["A"], "1");
}

#[tokio::test]
async fn config_values_are_not_readable_in_the_database() {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    world.change("blog", "alice", configured(r#"{"values":{"A":"hunter2-in-clear"}}"#).change()).await;
    world.store.close().await;

    if let Some(path) = world.database.url.strip_prefix("sqlite://") {
        let bytes = std::fs::read(path).expect("the database file");
        assert!(!bytes.windows(16).any(|window| window == b"hunter2-in-clear"));
    }
}

#[tokio::test]
async fn a_failed_release_says_so_and_the_next_change_starts_from_the_last_good_one() {
    let world = World::with_good_release().await;
    let config = configured(r#"{"values":{"BAD":"1"}}"#);
    let failing = world.change("blog", "alice", config.change()).await;

    world.fail(failing.deploy.expect("a deploy"), "it crashed").await;
    let next = world.change("blog", "alice", configured(r#"{"values":{"GOOD":"1"}}"#).change()).await;

    let failed = world.store.release(&app("blog"), 3).await.expect("an answer").expect("a release");
    assert_eq!(failed.summary, "alice deployed a config that failed");
    assert_eq!((failed.failed, failed.exception.as_deref()), (true, Some("it crashed")));
    assert_eq!((next.release.version, next.release.failed), (4, false));
    let values = next.config.expect("a config").config.values;
    assert_eq!(values.keys().collect::<Vec<_>>(), ["GOOD"]);
    let to_failed = ReleaseChange::RolledBack { version: Some(3) };
    let refused = world.try_change("blog", "alice", to_failed).await.expect_err("v3 failed").to_string();
    assert_eq!(refused, "Cannot roll back to failed release.");
}

#[tokio::test]
async fn rolling_back_uses_the_rows_of_the_old_release() {
    let world = World::with_good_release().await;
    let second = world.change("blog", "alice", built(build("web"))).await;
    world.succeed(second.deploy.expect("a deploy")).await;
    world.scale("web=3").await;

    let back = world.change("blog", "alice", ReleaseChange::RolledBack { version: None }).await;

    let old = world.store.release(&app("blog"), 2).await.expect("an answer").expect("a release");
    assert_eq!((back.release.version, back.release.summary.as_str()), (4, "alice rolled back to v2"));
    assert_eq!((back.release.build, back.release.config), (old.build, old.config));
    assert_eq!((back.build, back.config), (None, None));
    assert_eq!(world.wanted().await, "web=3 worker=0");
    for (version, text) in
        [(99, "Release matching query does not exist."), (1, "Cannot roll back to initial release.")]
    {
        let change = ReleaseChange::RolledBack { version: Some(version) };
        assert_eq!(world.try_change("blog", "alice", change).await.expect_err(text).to_string(), text);
    }
}

#[tokio::test]
async fn a_process_type_that_comes_back_has_its_last_count_also_after_a_start_of_the_platform() {
    let world = World::with_good_release().await;
    world.scale("web=2 worker=3").await;
    world.change("blog", "alice", built(build("veb"))).await;
    assert_eq!(world.wanted().await, "web=0 worker=0");
    world.change("blog", "alice", configured(r#"{"values":{"A":"1"}}"#).change()).await;
    let store = crate::open(&world.database.url).await;

    let back = built(build("web worker"));
    store.add_release(&app("blog"), "alice", back, Timestamp::now()).await.expect("a release");

    assert_eq!(world.wanted().await, "veb=0 web=2 worker=3");
}

#[tokio::test]
async fn a_push_that_fails_leaves_the_counts_as_they_were() {
    let world = World::with_good_release().await;
    let scale = world.scale("web=2").await;
    world.succeed(scale).await;
    let failing = world.change("blog", "alice", built(build("veb"))).await.deploy.expect("a deploy");

    world.fail(failing, "it crashed").await;

    assert_eq!(world.wanted().await, "web=2");
    world.change("blog", "alice", built(build("web"))).await;
    assert_eq!(world.wanted().await, "web=2 worker=0");
}

#[tokio::test]
async fn a_newer_deploy_supersedes_older_ones_which_share_its_failure() {
    let world = World::with_good_release().await;
    let first = world.change("blog", "alice", built(build("web"))).await.deploy.expect("a deploy");
    let second = world.scale("web=4").await;
    let third = world.change("blog", "alice", built(build("web"))).await.deploy.expect("a deploy");

    assert_eq!(world.state(first).await, (DeployState::Superseded, Some(third)));
    assert_eq!(world.state(second).await, (DeployState::Superseded, Some(third)));
    assert!(!world.store.succeed_deploy(second, Timestamp::now()).await.expect("an answer"));
    assert_eq!(world.wanted().await, "web=4 worker=0");
    world.fail(third, "it crashed").await;

    for deploy in [first, second, third] {
        assert_eq!(world.state(deploy).await.0, DeployState::Failed);
    }
    let current = world.store.current_release(&app("blog")).await.expect("a release");
    assert_eq!((current.version, world.wanted().await.as_str()), (2, "web=1"));
}

impl World {
    async fn begin_step(&self, deploy: i64, kind: DeployStepKind, before: StepOutcome) {
        self.store.begin_step(deploy, kind, before, Timestamp::now()).await.expect("noted");
    }

    /// Kinds and outcomes of the steps of a release.
    async fn steps(&self, version: u64) -> Vec<(DeployStepKind, Option<StepOutcome>)> {
        let steps = self.store.steps_of_release(&app("blog"), version).await.expect("an answer");
        assert!(steps.iter().all(|step| step.end.is_none_or(|(ended, _)| ended >= step.began)), "{steps:?}");
        steps.into_iter().map(|step| (step.kind, step.end.map(|(_, outcome)| outcome))).collect()
    }
}

#[tokio::test]
async fn a_deploy_has_its_steps_with_their_outcomes() {
    use DeployStepKind::{GoBack, Shift, Start};
    use StepOutcome::{Failed, Succeeded, Superseded};
    let world = World::with_good_release().await;
    let begin = async |deploy| world.store.begin_deploy(deploy, Timestamp::now()).await.expect("noted");
    let change = async || world.change("blog", "alice", built(build("web"))).await;

    let good = change().await.deploy.expect("a deploy");
    world.begin_step(good, Start, Succeeded).await;
    assert_eq!(world.steps(3).await, [], "a deploy that has not begun has no step");
    begin(good).await;
    world.begin_step(good, Start, Succeeded).await;
    assert_eq!(world.steps(3).await, [(Start, None)]);
    world.begin_step(good, Shift, Succeeded).await;
    world.store.succeed_deploy(good, Timestamp::now()).await.expect("noted");
    assert_eq!(world.steps(3).await, [(Start, Some(Succeeded)), (Shift, Some(Succeeded))]);

    let bad = change().await.deploy.expect("a deploy");
    begin(bad).await;
    world.begin_step(bad, Start, Succeeded).await;
    // The controller was killed and begins again.
    begin(bad).await;
    world.begin_step(bad, Start, Succeeded).await;
    world.begin_step(bad, GoBack, Failed).await;
    world.store.end_step(bad, Succeeded, Timestamp::now()).await.expect("noted");
    world.fail(bad, "it crashed").await;
    assert_eq!(world.steps(4).await, [(Start, Some(Failed)), (GoBack, Some(Succeeded))]);

    let slow = change().await.deploy.expect("a deploy");
    begin(slow).await;
    world.begin_step(slow, Start, Succeeded).await;
    change().await;
    world.begin_step(slow, Shift, Succeeded).await;
    assert_eq!(world.steps(5).await, [(Start, Some(Superseded))]);
}

#[tokio::test]
async fn what_a_good_deploy_superseded_has_not_failed() {
    let world = World::with_good_release().await;
    let first = world.change("blog", "alice", built(build("web"))).await;
    let second = world.scale("web=2").await;

    world.succeed(second).await;

    assert_eq!(world.state(first.deploy.expect("a deploy")).await, (DeployState::Superseded, Some(second)));
    let release = world.store.release(&app("blog"), 3).await.expect("an answer").expect("a release");
    assert!(!release.failed);
    assert_eq!(world.store.last_good_deploy(&app("blog")).await.expect("an answer").expect("one").id, second);
}

#[tokio::test]
async fn a_failed_scale_restores_the_numbers_and_fails_no_release() {
    let world = World::with_good_release().await;
    let scale = world.scale("web=9").await;
    assert_eq!(world.wanted().await, "web=9");

    world.fail(scale, "no room").await;

    assert_eq!(world.wanted().await, "web=1");
    let current = world.store.current_release(&app("blog")).await.expect("a release");
    assert_eq!((current.version, current.failed), (2, false));
    let unchanged = world.store.add_scale(&app("blog"), &structure("web=1"), Timestamp::now()).await;
    assert_eq!(unchanged.expect("an answer"), None);
}

#[tokio::test]
async fn changes_at_the_same_time_build_on_one_another() {
    let world = World::with_good_release().await;
    let mut changes = JoinSet::new();
    for number in 0..10 {
        let store = world.store.clone();
        changes.spawn(async move {
            let patch = configured(&format!(r#"{{"values":{{"K{number}":"1"}}}}"#));
            store.add_release(&app("blog"), "alice", patch.change(), Timestamp::now()).await
        });
    }

    let recorded = changes.join_all().await;

    let versions = recorded.into_iter().map(|change| change.expect("a recorded change").release.version);
    let mut versions: Vec<_> = versions.collect();
    versions.sort_unstable();
    assert_eq!(versions, (3..13).collect::<Vec<_>>());
    let values = world.store.current_config(&app("blog")).await.expect("a config").config.values;
    assert_eq!(values.len(), 10);
}

#[tokio::test]
async fn ids_of_deploys_are_never_used_again() {
    let world = World::with_good_release().await;
    let last = world.scale("web=2").await;
    world.store.remove_app(&app("blog"), Timestamp::now()).await.expect("recorded");
    world.store.forget_app(&app("blog")).await.expect("forgotten");

    world.app("blog", "alice").await;
    let next = world.change("blog", "alice", built(build("web"))).await.deploy.expect("a deploy");

    assert!(next > last);
    assert_eq!(world.store.deploy(last).await.expect("an answer"), None);
}
