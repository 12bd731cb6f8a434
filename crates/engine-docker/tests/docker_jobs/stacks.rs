//! Stacks: images of builds and apps, toolchains of several languages, images of others.

use std::collections::BTreeSet;

use domain::build::{BuildJob, BuildKind, OneOff};
use domain::stacks::{StackName, Stacks};
use engine::Jobs as _;
use engine::conformance::builds::{build, job, one_off};
use testkit::docker::docker;
use tokio::sync::Mutex;

use crate::world::World;

/// Images that were put together are shared by all platforms of a daemon; tests that make and remove some take turns.
static COMPOSING: Mutex<()> = Mutex::const_new(());

const RUN: &str = "deis/stack:trixie";
const BUILD: &str = "deis/stack:trixie-build";

fn on(world: &World, stack: &str, toolchains: &[&str]) -> BuildJob {
    let toolchains: BTreeSet<String> = toolchains.iter().map(|name| (*name).to_owned()).collect();
    BuildJob {
        stack: StackName::parse(stack).expect("a good name"),
        toolchains,
        ..job(world, BuildKind::Buildpack)
    }
}

/// A platform with a stack of the operator's.
async fn with_stack(fields: &str) -> World {
    let file = format!(r#"{{"stacks": {{"own": {{{fields}}}}}}}"#);
    let stacks = Stacks::default().with_file(file.as_bytes()).expect("a good file");
    World::with(|settings| settings.stacks = stacks).await
}

/// An app whose build runs this script, which its process runs too.
fn app_with(script: &str) -> [(&str, &str); 3] {
    [("Procfile", "web: bash ./script\n"), ("script", script), ("bin/pre-compile", script)]
}

/// Output of the script in the build, and in the app.
async fn outputs(world: &World, job: &BuildJob, script: &str) -> (String, String) {
    let script = format!("#!/bin/bash\n{script}\n");
    let (built, output) = build(world, job, &app_with(&script)).await;
    let image = built.expect(&output).image;
    let run = OneOff { args: Some(vec!["web".to_owned()]), ..one_off(&job.app, image) };
    (output, world.engine.run(&run).await.expect("the slug starts").output)
}

/// Makes an image of another one by a command that root runs.
fn derived(name: &str, from: &str, command: &str) {
    let container = format!("deis-test-{:08x}", rand::random::<u32>());
    docker(&["run", "--name", &container, "--user", "0", "--entrypoint", "/bin/sh", from, "-c", command]);
    docker(&["commit", &container, name]);
    docker(&["rm", "--force", &container]);
}

fn composed() -> Vec<String> {
    docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", "reference=deis/composed-*"])
}

fn remove(images: &[String]) {
    for image in images {
        docker(&["rmi", "--force", image]);
    }
}

#[tokio::test]
async fn a_build_has_compilers_and_headers_and_its_app_has_neither() {
    let world = World::new().await;
    let script = "command -v cc git || echo neither; ls -d /buildpacks /usr/include/zlib.h; echo on $STACK";

    let (build, app) = outputs(&world, &on(&world, "trixie", &[]), script).await;

    assert!(build.contains("/usr/bin/cc") && build.contains("/usr/include/zlib.h"), "{build}");
    assert!(
        app.contains("neither") && !app.contains("/buildpacks\n") && app.ends_with("on trixie\n"),
        "{app}"
    );
}

#[tokio::test]
async fn toolchains_of_several_languages_come_together_and_only_once() {
    let _turn = COMPOSING.lock().await;
    let mut toolchains = Vec::new();
    for name in ["one", "other"] {
        let mut images = Vec::new();
        for (kind, base) in [("run", RUN), ("build", BUILD)] {
            let image = format!("deis-test-{name}:{kind}");
            derived(&image, base, &format!("echo {name} of {kind} >/opt/{name}"));
            images.push(format!(r#""{kind}": "{image}""#));
        }
        toolchains.push(format!(r#""{name}": {{{}}}"#, images.join(", ")));
    }
    let fields =
        format!(r#""run": "{RUN}", "build": "{BUILD}", "toolchains": {{{}}}"#, toolchains.join(", "));
    let world = with_stack(&fields).await;

    let (build, app) =
        outputs(&world, &on(&world, "own", &["one", "other"]), "cat /opt/one /opt/other").await;
    let first = composed();
    let (_, alone) =
        outputs(&world, &on(&world, "own", &["other"]), "cat /opt/one /opt/other 2>&1 || true").await;
    let (_, again) = outputs(&world, &on(&world, "own", &["one", "other"]), "cat /opt/one /opt/other").await;
    let second = composed();
    remove(&second);
    remove(
        &["one", "other"]
            .map(|name| [format!("deis-test-{name}:run"), format!("deis-test-{name}:build")])
            .concat(),
    );

    assert!(build.contains("one of build") && build.contains("other of build"), "{build}");
    assert_eq!((app.as_str(), again), ("one of run\nother of run\n", app.clone()));
    assert!(alone.contains("No such file") && alone.ends_with("other of run\n"), "{alone}");
    assert!(first.len() >= 2 && first.iter().all(|image| second.contains(image)), "{first:?} {second:?}");
}

#[tokio::test]
async fn an_image_of_others_becomes_a_stack_by_a_file() {
    let _turn = COMPOSING.lock().await;
    let foreign = "deis-test-foreign:24";
    let holder = format!("deis-test-{:08x}", rand::random::<u32>());
    docker(&["create", "--name", &holder, RUN]);
    let import = format!(
        "docker export {holder} | tar --delete --wildcards 'usr/bin/slug' 'workspace*' 'app*' | docker import - {foreign}"
    );
    let imported = std::process::Command::new("sh").args(["-c", &import]).status().expect("sh runs");
    assert!(imported.success(), "{import}");
    docker(&["rm", "--force", &holder]);
    let fields = format!(r#""run": "{foreign}", "build": "{foreign}", "variable": "foreign-24""#);
    let world = with_stack(&fields).await;

    let script = "echo on $STACK in $HOME; ls -d /buildpacks";
    let (build, app) = outputs(&world, &on(&world, "own", &[]), script).await;
    remove(&composed());
    remove(&[foreign.to_owned()]);

    assert!(build.contains("on foreign-24 in") && build.contains("/buildpacks"), "{build}");
    assert!(app.starts_with("on foreign-24 in /app\n") && !app.contains("/buildpacks\n"), "{app}");
}

#[tokio::test]
async fn a_stack_or_an_image_that_is_missing_is_named_with_the_way_to_get_it() {
    let world = with_stack(r#""run": "deis-test-none:run", "build": "deis-test-none:build""#).await;
    let failure = async |job: BuildJob| {
        let (built, output) = build(&world, &job, &app_with("true")).await;
        built.expect_err(&output).to_string()
    };

    let unknown = failure(on(&world, "cedar", &[])).await;
    let no_toolchain = failure(on(&world, "trixie", &["cobol"])).await;
    let no_image = failure(on(&world, "own", &[])).await;

    assert!(unknown.contains("there is no stack `cedar`; there are bookworm, own, trixie"), "{unknown}");
    assert!(
        no_toolchain.contains("the stack trixie has no toolchain `cobol`, it has java"),
        "{no_toolchain}"
    );
    assert!(no_image.contains("Docker has no image deis-test-none:build of the stack own"), "{no_image}");
}
