//! Tests of `release`.

use serde_json::json;

use super::*;
use crate::build::Origin;
use crate::structure::tests::build;
use crate::{AppName, Digest, Image};

const RULES: ProcfileRules = ProcfileRules { reject_if_missing: false, remove_if_missing: true };
const UUID: &str = "56f5fdd0-0000-4000-8000-000000000000";

struct App {
    config: Config,
    build: Option<Build>,
    formation: Formation,
}

impl App {
    fn new(build: Option<Build>) -> Self {
        let first = |build| Formation::default().after_build(None, build);
        let formation = build.as_ref().map(first).unwrap_or_default();
        Self { config: Config::default(), build, formation }
    }

    fn scale_web(&mut self, count: u32) {
        let scaled = self.formation.scaled(self.build.as_ref(), &[(crate::ProcessType::web(), count)].into());
        self.formation = scaled.expect("a type of the build").expect("a change");
    }

    fn next(&self, change: ChangeRequest<'_>) -> Result<NextRelease, ReleaseError> {
        let current = Current {
            newest_version: 7,
            version: 5,
            owner: "bob",
            config: &self.config,
            build: self.build.as_ref(),
            build_uuid: self.build.as_ref().map(|_| UUID),
            formation: &self.formation,
        };
        next_release("alice", &current, change)
    }

    fn built(&self, build: Build, rules: ProcfileRules) -> Result<NextRelease, ReleaseError> {
        self.next(ChangeRequest::Built { build: Box::new(build), uuid: UUID, rules: &rules })
    }

    fn configured(&self, body: &serde_json::Value) -> Result<NextRelease, ReleaseError> {
        let patch = ConfigPatch::parse(body.as_object().expect("an object"))?;
        self.next(ChangeRequest::Configured { patch: &patch, default_tags: &Texts::new() })
    }
}

fn structure(next: &NextRelease) -> Option<String> {
    next.formation.as_ref().map(|formation| crate::structure::in_words(&formation.structure))
}

#[test]
fn a_push_names_seven_characters_of_its_commit_and_an_image_its_reference() {
    let app = App::new(None);

    let pushed = app.built(build(Origin::Buildpack, &["web"]), RULES).expect("a release");
    let brought = app.built(build(Origin::Image, &[]), RULES).expect("a release");

    assert_eq!((pushed.version, pushed.summary.as_str()), (8, "alice deployed 1a2b3c4"));
    assert_eq!(pushed.summary_if_failed, "alice deployed 56f5fdd which failed");
    assert_eq!(brought.summary, "alice deployed img");
    assert_eq!(structure(&brought), Some("cmd=1".to_owned()));
}

#[test]
fn the_same_build_again_makes_another_release() {
    let same = build(Origin::Buildpack, &["web"]);
    let app = App::new(Some(same.clone()));

    assert_eq!(app.built(same, RULES).map(|next| next.version), Ok(8));
}

#[test]
fn a_missing_procfile_is_refused_inherited_or_means_that_all_types_go() {
    let app = App::new(Some(build(Origin::Image, &["web"])));
    let bare = || build(Origin::Image, &[]);

    let refused = app.built(bare(), ProcfileRules { reject_if_missing: true, ..RULES });
    let inherited =
        app.built(bare(), ProcfileRules { remove_if_missing: false, ..RULES }).expect("a release");
    let removed = app.built(bare(), RULES).expect("a release");

    assert_eq!(refused, Err(ReleaseError::ProcfileMissing));
    let procfile = |build: &Option<Build>| build.as_ref().map(|build| build.procfile.clone());
    assert_eq!(procfile(&inherited.build), procfile(&app.build));
    assert_eq!(structure(&inherited), Some("web=1".to_owned()));
    assert_eq!(structure(&removed), Some("cmd=1 web=0".to_owned()));
}

#[test]
fn each_part_of_a_change_of_config_is_named_and_joined_with_and() {
    let mut app = App::new(None);
    let body = json!({"values": {"A": "1", "B": "2", "PORT": "80"}, "tags": {"x": "1"}, "registry": {"username": "u"}});
    app.config = app.configured(&body).expect("a release").config.expect("a config");

    for (body, summary) in [
        (json!({"values": {"A": "x", "B": null, "C": "3"}}), "alice added C, changed A, deleted B"),
        (json!({"memory": {"web": "1G"}}), "alice changed limits for memory"),
        (json!({"memory": {"web": "1G"}, "cpu": {"web": "1"}}), "alice changed limits for memory, cpu"),
        (
            json!({"values": {"C": "3"}, "cpu": {"web": "1"}}),
            "alice added C and alice changed limits for cpu",
        ),
        (json!({"lifecycle_pre_stop": {"web": "sleep 1"}}), "alice added lifecycle_pre_stop web"),
        (
            json!({"termination_grace_period": {"web": 5}}),
            "alice changed timeouts for termination_grace_period",
        ),
        (json!({"tags": {"x": null, "y": "2"}}), "alice added tag y, deleted tag x"),
        (
            json!({"registry": {"username": "v", "password": "p"}}),
            "alice added registry info password, changed registry info username",
        ),
        (
            json!({"healthcheck": {"web/cmd": {"livenessProbe": {"tcpSocket": {"port": 1}}}}}),
            "alice added healthcheck info for proc type web/cmd",
        ),
    ] {
        let next = app.configured(&body).expect("a release");
        assert_eq!(next.summary, summary);
        assert_eq!(next.summary_if_failed, "alice deployed a config that failed");
        assert_eq!((next.formation, next.build), (None, None));
    }
}

#[test]
fn a_config_that_changes_nothing_stops_the_release() {
    let mut app = App::new(None);
    app.config = app.configured(&json!({"values": {"A": "1"}})).expect("a release").config.expect("a config");

    for body in [json!({}), json!({"values": {}}), json!({"values": {"A": 1}})] {
        let error = app.configured(&body).expect_err("nothing changes").to_string();
        assert_eq!(error, "alice changed nothing - release stopped");
    }
}

#[test]
fn a_config_with_a_build_keeps_what_runs() {
    let mut app = App::new(Some(build(Origin::Buildpack, &["web"])));
    app.scale_web(4);

    let next = app.configured(&json!({"values": {"A": "1"}})).expect("a release");

    assert_eq!(next.formation, Some(app.formation));
}

#[test]
fn rolling_back_keeps_the_numbers_of_replicas_and_blames_whom_it_left() {
    let old = build(Origin::Buildpack, &["web", "worker"]);
    let mut app = App::new(Some(build(Origin::Buildpack, &["web", "worker"])));
    app.scale_web(4);

    let target = RollbackTarget { version: 3, failed: false, build: Some(&old) };
    let next = app.next(ChangeRequest::RolledBack { target }).expect("a release");

    assert_eq!((next.version, next.summary.as_str()), (8, "alice rolled back to v3"));
    assert_eq!(next.summary_if_failed, "bob performed roll back to a release that failed");
    assert_eq!((next.formation, next.config, next.build), (Some(app.formation), None, None));
}

#[test]
fn only_a_good_release_after_the_first_can_be_gone_back_to() {
    for (wanted, outcome) in [
        (None, Ok(4)),
        (Some(2), Ok(2)),
        (Some(99), Ok(99)),
        (Some(1), Err("Cannot roll back to initial release.")),
        (Some(0), Err("version cannot be below 0")),
        (Some(-1), Err("version cannot be below 0")),
    ] {
        let found = rollback_target(5, wanted).map_err(|error| error.to_string());
        assert_eq!(found, outcome.map_err(str::to_owned), "{wanted:?}");
    }
    assert_eq!(rollback_target(1, None), Err(ReleaseError::RollbackBelowFirst));
    assert_eq!(rollback_target(2, None), Err(ReleaseError::RollbackToInitial));
    let failed =
        ChangeRequest::RolledBack { target: RollbackTarget { version: 3, failed: true, build: None } };
    assert_eq!(App::new(None).next(failed), Err(ReleaseError::RollbackToFailed));
}

#[test]
fn the_first_release_names_its_default_tags() {
    let tags = Texts::from([("ssd".to_owned(), "true".to_owned())]);

    assert_eq!(initial_summary("alice", &Config::default()), "alice created initial release");
    assert_eq!(
        initial_summary("alice", &Config::initial(&tags)),
        "alice created initial release and alice added tag ssd"
    );
}

#[test]
fn a_rebase_keeps_commands_and_counts_and_is_of_the_current_build_alone() {
    let mut app = App::new(Some(build(Origin::Buildpack, &["web"])));
    app.scale_web(3);
    let image = Image::Built { app: AppName::parse("blog").expect("a name"), digest: Digest::of(b"newer") };
    let build = app
        .build
        .as_ref()
        .map(|build| build.rebased(&AppName::parse("blog").expect("a name"), image.clone()));
    let build = build.expect("a build");
    let rebased = |of| app.next(ChangeRequest::Rebased { build: Box::new(build.clone()), of });

    let next = rebased(UUID).expect("a release");

    assert_eq!(next.summary, "alice rebased v5 on the newest bookworm");
    assert_eq!((next.version, structure(&next).as_deref()), (8, Some("web=3")));
    let made = next.build.expect("a build");
    assert_eq!((&made.launch.image, &made.procfile), (&image, &build.procfile));
    let other = rebased("f6f5fdd0-0000-4000-8000-000000000000");
    assert_eq!(other, Err(ReleaseError::NotCurrent { user: "alice".to_owned() }));
}
