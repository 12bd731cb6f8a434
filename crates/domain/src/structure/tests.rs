//! Tests of `structure`.

use proptest::prelude::*;

use super::*;
use crate::{Digest, Image};

pub(crate) fn build(origin: Origin, procfile: &[&str]) -> Build {
    let process = |name: &&str| (ProcessType::parse(name).expect("a good type"), format!("run-{name}"));
    Build {
        image: Image::External { reference: "img".to_owned(), digest: Digest::of(b"img") },
        reference: "img".to_owned(),
        sha: if origin == Origin::Image { String::new() } else { "1a2b3c4d".to_owned() },
        procfile: procfile.iter().map(process).collect(),
        dockerfile: origin == Origin::Dockerfile,
        ports: vec![8080],
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
        let first = after_build(&Structure::new(), None, &build(origin, procfile));
        assert_eq!(in_words(&first), wanted, "{origin:?} {procfile:?}");
    }
}

#[test]
fn a_build_of_another_origin_starts_over_with_what_serves() {
    let image = build(Origin::Image, &[]);
    let pushed = build(Origin::Buildpack, &["web", "worker"]);

    assert_eq!(in_words(&after_build(&structure("cmd=3"), Some(&image), &pushed)), "cmd=0 web=1");
    assert_eq!(
        in_words(&after_build(&structure("web=3 worker=2"), Some(&pushed), &image)),
        "cmd=1 web=0 worker=0"
    );
    assert_eq!(
        in_words(&after_build(&structure("cmd=2"), Some(&image), &build(Origin::Dockerfile, &[]))),
        "cmd=1"
    );
}

#[test]
fn a_build_of_the_same_origin_keeps_the_numbers_and_starts_nothing_new() {
    let image = build(Origin::Image, &[]);
    let with_procfile = build(Origin::Image, &["web"]);

    assert_eq!(in_words(&after_build(&structure("cmd=1"), Some(&image), &with_procfile)), "cmd=1");
}

#[test]
fn types_that_disappear_from_the_procfile_go_to_zero() {
    let old = build(Origin::Buildpack, &["web", "worker", "clock"]);
    let new = build(Origin::Buildpack, &["web"]);

    assert_eq!(
        in_words(&after_build(&structure("web=2 worker=3"), Some(&old), &new)),
        "clock=0 web=2 worker=0"
    );
}

#[test]
fn scaling_merges_and_knows_the_types_of_the_build() {
    let pushed = build(Origin::Buildpack, &["web", "worker"]);
    let scale = |wish: &str| scaled(&structure("web=1"), Some(&pushed), &structure(wish));

    assert_eq!(scale("worker=2"), Ok(Some(structure("web=1 worker=2"))));
    assert_eq!(scale("cmd=1"), Ok(Some(structure("cmd=1 web=1"))));
    for unchanged in ["", "web=1", "worker=0"] {
        assert_eq!(scale(unchanged), Ok(None), "{unchanged}");
    }
    for unknown in ["nope", "run"] {
        let error = scale(&format!("{unknown}=1")).expect_err("unknown").to_string();
        assert_eq!(error, format!("Container type {unknown} does not exist in application"));
    }
    assert!(matches!(scale("web=1001"), Err(ScaleError::TooMany(..))));
    assert_eq!(scaled(&structure(""), None, &structure("web=1")), Err(ScaleError::NoBuild));
    let bare = build(Origin::Buildpack, &[]);
    assert_eq!(scaled(&structure("web=1"), Some(&bare), &structure("web=2")), Ok(Some(structure("web=2"))));
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
        let mut current = Structure::new();
        for build in &builds {
            let next = after_build(&current, previous, build);
            prop_assert!(current.keys().all(|process| next.contains_key(process)));
            // A leftover `cmd` or `web` may run on within one origin; anything else must be in the Procfile.
            for (process, _) in next.iter().filter(|(process, count)| **count > 0 && !process.is_routable()) {
                prop_assert!(build.procfile.contains_key(process), "{process}");
            }
            (previous, current) = (Some(build), next);
        }
    }

    #[test]
    fn the_same_build_again_keeps_the_structure(build in any_build()) {
        let first = after_build(&Structure::new(), None, &build);
        prop_assert_eq!(after_build(&first, Some(&build), &build), first);
    }
}
