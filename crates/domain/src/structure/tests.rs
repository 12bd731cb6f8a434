//! Tests of `structure`.

use proptest::prelude::*;

use super::*;
use crate::build::{Launch, Origin};
use crate::{Digest, Image};

pub(crate) fn build(origin: Origin, procfile: &[&str]) -> Build {
    let process = |name: &&str| (ProcessType::parse(name).expect("a good type"), format!("run-{name}"));
    let image = Image::External { reference: "img".to_owned(), digest: Digest::of(b"img") };
    Build {
        origin,
        reference: "img".to_owned(),
        sha: if origin == Origin::Image { String::new() } else { "1a2b3c4d".to_owned() },
        procfile: procfile.iter().map(process).collect(),
        launch: Launch::of(origin, image, &[8080]),
        stack: None,
        launches: BTreeMap::new(),
        reason: String::new(),
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

/// Counts after `build` follows `previous`, with all `counts` chosen by users.
fn after(counts: &str, previous: Option<&Build>, build: &Build) -> String {
    let counts = structure(counts);
    let formation = Formation { structure: counts.clone(), chosen: counts };
    in_words(&formation.after_build(previous, build).structure)
}

#[test]
fn a_first_deploy_runs_one_of_what_serves() {
    for (origin, procfile, wanted) in [
        (Origin::Buildpack, &["web", "worker"][..], "web=1"),
        (Origin::Image, &["web"], "web=1"),
        (Origin::Image, &[], "cmd=1"),
        (Origin::Image, &["worker"], "cmd=1"),
        (Origin::Dockerfile, &[], "cmd=1"),
        (Origin::Buildpack, &["worker"], ""),
        (Origin::Buildpack, &[], "web=1"),
    ] {
        assert_eq!(after("", None, &build(origin, procfile)), wanted, "{origin:?} {procfile:?}");
    }
}

#[test]
fn a_build_of_another_origin_starts_over_with_what_serves() {
    let image = build(Origin::Image, &[]);
    let pushed = build(Origin::Buildpack, &["web", "worker"]);

    assert_eq!(after("cmd=3", Some(&image), &pushed), "cmd=0 web=1");
    assert_eq!(after("web=3 worker=2", Some(&pushed), &image), "cmd=1 web=0 worker=0");
    assert_eq!(after("cmd=2", Some(&image), &build(Origin::Dockerfile, &[])), "cmd=1");
}

#[test]
fn a_build_of_the_same_origin_keeps_the_numbers_and_starts_nothing_new() {
    let image = build(Origin::Image, &[]);
    let with_procfile = build(Origin::Image, &["web"]);

    assert_eq!(after("cmd=1", Some(&image), &with_procfile), "cmd=1");
}

#[test]
fn types_that_disappear_from_the_procfile_go_to_zero() {
    let old = build(Origin::Buildpack, &["web", "worker", "clock"]);
    let new = build(Origin::Buildpack, &["web"]);

    assert_eq!(after("web=2 worker=3", Some(&old), &new), "clock=0 web=2 worker=0");
}

/// Deploys one build after another, the types of the first scaled as in `counts`; what runs after each.
fn story(counts: &str, builds: &[&Build]) -> Vec<String> {
    let mut formation = Formation::default();
    let mut told = Vec::new();
    for (number, build) in builds.iter().enumerate() {
        let previous = number.checked_sub(1).map(|before| builds[before]);
        formation = formation.after_build(previous, build);
        if number == 0 {
            let scaled = formation.scaled(Some(build), &structure(counts)).expect("types of the build");
            formation = scaled.unwrap_or(formation);
        }
        told.push(in_words(&formation.structure));
    }
    told
}

/// Builds by the names that the table below has.
mod builds {
    use super::*;

    pub fn buildpack_web() -> Build {
        build(Origin::Buildpack, &["web"])
    }

    pub fn buildpack_worker() -> Build {
        build(Origin::Buildpack, &["worker"])
    }

    pub fn buildpack_bare() -> Build {
        build(Origin::Buildpack, &[])
    }

    pub fn dockerfile_web() -> Build {
        build(Origin::Dockerfile, &["web"])
    }

    pub fn dockerfile_worker() -> Build {
        build(Origin::Dockerfile, &["worker"])
    }

    pub fn dockerfile_bare() -> Build {
        build(Origin::Dockerfile, &[])
    }

    pub fn image_web() -> Build {
        build(Origin::Image, &["web"])
    }

    pub fn image_worker() -> Build {
        build(Origin::Image, &["worker"])
    }

    pub fn image_bare() -> Build {
        build(Origin::Image, &[])
    }
}

/// A test of each pair of builds: what runs when the second follows the first, whose default type was scaled to 2
/// (a `worker` to 3), and what runs when the first is deployed again.
macro_rules! transitions {
    ($($from:ident: $counts:literal { $($to:ident: $then:literal, $back:literal;)* })*) => {
        $(mod $from {
            $(#[test]
            fn $to() {
                let (from, to) = (super::builds::$from(), super::builds::$to());
                assert_eq!(super::story($counts, &[&from, &to, &from])[1..], [$then, $back]);
            })*
        })*
    };
}

transitions! {
    buildpack_web: "web=2" {
        buildpack_web: "web=2", "web=2";
        buildpack_worker: "web=0", "web=2 worker=0";
        buildpack_bare: "web=2", "web=2";
        dockerfile_web: "web=1", "web=1";
        dockerfile_worker: "cmd=1 web=0", "cmd=0 web=2 worker=0";
        dockerfile_bare: "cmd=1 web=0", "cmd=0 web=2";
        image_web: "web=1", "web=1";
        image_worker: "cmd=1 web=0", "cmd=0 web=2 worker=0";
        image_bare: "cmd=1 web=0", "cmd=0 web=2";
    }
    buildpack_worker: "worker=3" {
        buildpack_web: "web=1 worker=0", "web=0 worker=3";
        buildpack_worker: "worker=3", "worker=3";
        buildpack_bare: "web=1 worker=0", "web=0 worker=3";
        dockerfile_web: "web=1 worker=0", "web=0 worker=3";
        dockerfile_worker: "cmd=1 worker=3", "cmd=0 worker=3";
        dockerfile_bare: "cmd=1 worker=0", "cmd=0 worker=3";
        image_web: "web=1 worker=0", "web=0 worker=3";
        image_worker: "cmd=1 worker=3", "cmd=0 worker=3";
        image_bare: "cmd=1 worker=0", "cmd=0 worker=3";
    }
    buildpack_bare: "web=2" {
        buildpack_web: "web=2", "web=2";
        buildpack_worker: "web=0", "web=2 worker=0";
        buildpack_bare: "web=2", "web=2";
        dockerfile_web: "web=1", "web=1";
        dockerfile_worker: "cmd=1 web=0", "cmd=0 web=2 worker=0";
        dockerfile_bare: "cmd=1 web=0", "cmd=0 web=2";
        image_web: "web=1", "web=1";
        image_worker: "cmd=1 web=0", "cmd=0 web=2 worker=0";
        image_bare: "cmd=1 web=0", "cmd=0 web=2";
    }
    dockerfile_web: "web=2" {
        buildpack_web: "web=1", "web=1";
        buildpack_worker: "web=0", "web=2 worker=0";
        buildpack_bare: "web=1", "web=1";
        dockerfile_web: "web=2", "web=2";
        dockerfile_worker: "cmd=1 web=0", "cmd=0 web=2 worker=0";
        dockerfile_bare: "cmd=1 web=0", "cmd=0 web=2";
        image_web: "web=1", "web=1";
        image_worker: "cmd=1 web=0", "cmd=0 web=2 worker=0";
        image_bare: "cmd=1 web=0", "cmd=0 web=2";
    }
    dockerfile_worker: "cmd=2 worker=3" {
        buildpack_web: "cmd=0 web=1 worker=0", "cmd=2 web=0 worker=3";
        buildpack_worker: "cmd=0 worker=3", "cmd=2 worker=3";
        buildpack_bare: "cmd=0 web=1 worker=0", "cmd=2 web=0 worker=3";
        dockerfile_web: "cmd=2 worker=0", "cmd=2 web=0 worker=3";
        dockerfile_worker: "cmd=2 worker=3", "cmd=2 worker=3";
        dockerfile_bare: "cmd=2 worker=0", "cmd=2 worker=3";
        image_web: "cmd=0 web=1 worker=0", "cmd=1 web=0 worker=3";
        image_worker: "cmd=1 worker=3", "cmd=1 worker=3";
        image_bare: "cmd=1 worker=0", "cmd=1 worker=3";
    }
    dockerfile_bare: "cmd=2" {
        buildpack_web: "cmd=0 web=1", "cmd=2 web=0";
        buildpack_worker: "cmd=0", "cmd=2 worker=0";
        buildpack_bare: "cmd=0 web=1", "cmd=2 web=0";
        dockerfile_web: "cmd=2", "cmd=2 web=0";
        dockerfile_worker: "cmd=2", "cmd=2 worker=0";
        dockerfile_bare: "cmd=2", "cmd=2";
        image_web: "cmd=0 web=1", "cmd=1 web=0";
        image_worker: "cmd=1", "cmd=1 worker=0";
        image_bare: "cmd=1", "cmd=1";
    }
    image_web: "web=2" {
        buildpack_web: "web=1", "web=1";
        buildpack_worker: "web=0", "web=2 worker=0";
        buildpack_bare: "web=1", "web=1";
        dockerfile_web: "web=1", "web=1";
        dockerfile_worker: "cmd=1 web=0", "cmd=0 web=2 worker=0";
        dockerfile_bare: "cmd=1 web=0", "cmd=0 web=2";
        image_web: "web=2", "web=2";
        image_worker: "cmd=1 web=0", "cmd=0 web=2 worker=0";
        image_bare: "cmd=1 web=0", "cmd=0 web=2";
    }
    image_worker: "cmd=2 worker=3" {
        buildpack_web: "cmd=0 web=1 worker=0", "cmd=2 web=0 worker=3";
        buildpack_worker: "cmd=0 worker=3", "cmd=2 worker=3";
        buildpack_bare: "cmd=0 web=1 worker=0", "cmd=2 web=0 worker=3";
        dockerfile_web: "cmd=0 web=1 worker=0", "cmd=1 web=0 worker=3";
        dockerfile_worker: "cmd=1 worker=3", "cmd=1 worker=3";
        dockerfile_bare: "cmd=1 worker=0", "cmd=1 worker=3";
        image_web: "cmd=2 worker=0", "cmd=2 web=0 worker=3";
        image_worker: "cmd=2 worker=3", "cmd=2 worker=3";
        image_bare: "cmd=2 worker=0", "cmd=2 worker=3";
    }
    image_bare: "cmd=2" {
        buildpack_web: "cmd=0 web=1", "cmd=2 web=0";
        buildpack_worker: "cmd=0", "cmd=2 worker=0";
        buildpack_bare: "cmd=0 web=1", "cmd=2 web=0";
        dockerfile_web: "cmd=0 web=1", "cmd=1 web=0";
        dockerfile_worker: "cmd=1", "cmd=1 worker=0";
        dockerfile_bare: "cmd=1", "cmd=1";
        image_web: "cmd=2", "cmd=2 web=0";
        image_worker: "cmd=2", "cmd=2 worker=0";
        image_bare: "cmd=2", "cmd=2";
    }
}

#[test]
fn a_count_of_zero_stays_while_the_type_stays() {
    use builds::*;
    let all = [
        buildpack_web(),
        buildpack_bare(),
        dockerfile_web(),
        dockerfile_worker(),
        dockerfile_bare(),
        image_web(),
        image_worker(),
        image_bare(),
    ];
    for from in &all {
        let process = default_type(from).expect("it serves");
        for to in all.iter().filter(|to| runs(to, &process)) {
            let told = story(&format!("{process}=0"), &[from, to, from]);
            let stays = told.iter().all(|told| structure(told)[&process] == 0);
            assert!(stays, "{:?} to {:?}: {told:?}", from.procfile, to.procfile);
        }
    }
}

#[test]
fn a_type_that_was_at_rest_runs_once_when_it_comes_back() {
    let (with, without) = (builds::buildpack_web(), builds::buildpack_worker());

    assert_eq!(story("web=0", &[&with, &without, &with]), ["web=0", "web=0", "web=1 worker=0"]);
}

#[test]
fn counts_outlive_several_builds_without_the_type() {
    let with = build(Origin::Buildpack, &["web", "worker"]);
    let without = build(Origin::Buildpack, &["clock"]);

    let told = story("web=2 worker=3", &[&with, &without, &builds::image_bare(), &without, &with]);

    assert_eq!(told.last().map(String::as_str), Some("clock=0 cmd=0 web=2 worker=3"));
}

#[test]
fn a_web_that_an_older_version_had_stopped_runs_again() {
    let (with, without) = (builds::buildpack_web(), builds::buildpack_worker());

    assert_eq!(after("web=0", Some(&without), &with), "web=1 worker=0");
    assert_eq!(after("web=0", Some(&with), &with), "web=0");
}

#[test]
fn a_cmd_beside_a_buildpack_runs_on_and_ends_with_another_origin() {
    let (pushed, image) = (builds::buildpack_web(), builds::image_web());

    assert_eq!(story("cmd=2", &[&pushed, &pushed, &image])[1..], ["cmd=2 web=1", "cmd=2 web=1"]);
    assert_eq!(story("cmd=2", &[&image, &pushed, &pushed])[1..], ["cmd=0 web=1", "cmd=0 web=1"]);
}

#[test]
fn an_app_that_nobody_serves_is_told_with_what_to_do() {
    let run = RunSettings::default();
    let told = |build: &Build, text: &str| nobody_serves(build, &structure(text), &run);

    assert_eq!(told(&builds::buildpack_web(), "web=1"), None);
    assert_eq!(told(&builds::image_web(), "web=0 cmd=1"), None);
    let rests = told(&builds::buildpack_web(), "web=0").expect("nobody serves");
    assert!(rests.contains("web is scaled to 0; start it with `deis scale web=1`"), "{rests}");
    let lacks = told(&build(Origin::Buildpack, &["veb", "worker"]), "web=0 worker=1").expect("nobody serves");
    assert!(lacks.contains("its Procfile has no `web`, only veb, worker"), "{lacks}");
}

#[test]
fn an_app_that_nobody_is_to_serve_or_whose_paths_are_served_is_told_nothing() {
    let told = |run: &RunSettings| nobody_serves(&builds::buildpack_worker(), &structure("worker=1"), run);
    let worker = ProcessType::parse("worker").expect("a good type");

    assert!(told(&RunSettings::default()).is_some());
    assert_eq!(told(&RunSettings { routable: false, ..RunSettings::default() }), None);
    assert_eq!(told(&RunSettings { services: [worker].into(), ..RunSettings::default() }), None);
}

#[test]
fn scaling_merges_and_knows_the_types_of_the_build() {
    let pushed = build(Origin::Buildpack, &["web", "worker"]);
    let formation = |text: &str| Formation { structure: structure(text), chosen: structure(text) };
    let scale = |text: &str| formation("web=1").scaled(Some(&pushed), &structure(text));

    assert_eq!(scale("worker=2"), Ok(Some(formation("web=1 worker=2"))));
    assert_eq!(scale("cmd=1"), Ok(Some(formation("cmd=1 web=1"))));
    for unchanged in ["", "web=1", "worker=0"] {
        assert_eq!(scale(unchanged), Ok(None), "{unchanged}");
    }
    for unknown in ["nope", "run"] {
        let error = scale(&format!("{unknown}=1")).expect_err("unknown").to_string();
        assert_eq!(error, format!("Container type {unknown} does not exist in application"));
    }
    assert!(matches!(scale("web=1001"), Err(ScaleError::TooMany(..))));
    assert_eq!(formation("").scaled(None, &structure("web=1")), Err(ScaleError::NoBuild));
    let bare = build(Origin::Buildpack, &[]);
    assert_eq!(formation("web=1").scaled(Some(&bare), &structure("web=2")), Ok(Some(formation("web=2"))));
}

#[test]
fn requests_go_to_web_before_cmd_and_to_what_runs_before_what_rests() {
    for (text, target) in [
        ("", None),
        ("worker=1", None),
        ("web=1 cmd=1", Some("web")),
        ("web=0 cmd=1", Some("cmd")),
        ("web=0 cmd=0", Some("web")),
        ("cmd=0", Some("cmd")),
    ] {
        let found = routing_target(&structure(text));
        assert_eq!(found.as_ref().map(ProcessType::as_str), target, "{text}");
    }
}

fn any_build() -> impl Strategy<Value = Build> {
    let origin = prop_oneof![Just(Origin::Buildpack), Just(Origin::Dockerfile), Just(Origin::Image)];
    let types = proptest::sample::subsequence(vec!["web", "worker", "clock"], 0..=3);
    (origin, types).prop_map(|(origin, types)| build(origin, &types))
}

proptest! {
    #[test]
    fn no_type_is_ever_forgotten_and_none_runs_that_the_build_lacks(builds in proptest::collection::vec(any_build(), 1..6)) {
        let mut previous: Option<&Build> = None;
        let mut current = Formation::default();
        for build in &builds {
            let next = current.after_build(previous, build);
            prop_assert!(current.structure.keys().all(|process| next.structure.contains_key(process)));
            // An orphaned `cmd` or `web` may run on within one origin; anything else must be in the Procfile.
            for (process, _) in next.structure.iter().filter(|(process, count)| **count > 0 && !process.is_routable()) {
                prop_assert!(build.procfile.contains_key(process), "{process}");
            }
            // Whatever came before, a build that can serve does.
            let is_served = nobody_serves(build, &next.structure, &RunSettings::default()).is_none();
            prop_assert!(is_served || default_type(build).is_none());
            (previous, current) = (Some(build), next);
        }
    }

    #[test]
    fn the_same_build_again_keeps_the_structure(build in any_build()) {
        let first = Formation::default().after_build(None, &build);
        prop_assert_eq!(first.after_build(Some(&build), &build), first);
    }
}
