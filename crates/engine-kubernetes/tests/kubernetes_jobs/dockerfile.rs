//! Builds from a Dockerfile.

use std::collections::BTreeMap;
use std::time::Instant;

use domain::build::{BuildKind, BuiltImage, OneOff};
use engine::{JobError, Jobs as _};

use crate::one_off::one_off;
use crate::world::{World, job};

#[tokio::test]
async fn a_dockerfile_build_ends_as_an_image_that_nodes_can_run() {
    let world = World::new().await;
    let job = job(BuildKind::Dockerfile);
    let dockerfile = "FROM deis/stack\nRUN echo made >/tmp/made\nCOPY hello /hello\nEXPOSE 9090 8080/tcp\n\
        USER 1001\nENTRYPOINT [\"/bin/cat\"]\nCMD [\"/tmp/made\", \"/hello\"]\n";

    let begun = Instant::now();
    let (built, output) = world.build(&job, &[("Dockerfile", dockerfile), ("hello", "hi\n")]).await;
    println!("Dockerfile build: {:?}", begun.elapsed());

    let built = built.unwrap_or_else(|error| panic!("{error}: {output}"));
    let BuiltImage { image, ports, user, process_types } = built;
    assert_eq!((ports, user.as_str(), process_types), (vec![8080, 9090], "1001", BTreeMap::new()));
    assert!(output.contains("COPY hello /hello"), "{output}");
    world.no_build_is_left().await;

    let finished = world.jobs.run(&one_off(&job.app, image)).await.expect("it runs");
    assert_eq!((finished.exit_code, finished.output.as_str()), (0, "made\nhi\n"));
}

/// Each build has a pod and a daemon of its own: what they share is in the registry.
#[tokio::test]
async fn steps_before_a_changed_line_are_used_again_and_the_same_source_gives_the_same_image() {
    let world = World::new().await;
    let mut job = job(BuildKind::Dockerfile);
    let dockerfile = "FROM deis/stack AS made\nRUN date +%N >/tmp/made\nFROM deis/stack\n\
        COPY --from=made /tmp/made /made\nRUN date +%N >/tmp/own\nCOPY hello /hello\n";
    let build = async |job: &_, hello: &str| {
        let (built, output) = world.build(job, &[("Dockerfile", dockerfile), ("hello", hello)]).await;
        (built.unwrap_or_else(|error| panic!("{error}: {output}")).image, output)
    };

    let (first, output) = build(&job, "one").await;
    assert_eq!(cached_runs(&output), 0, "{output}");
    let (same, output) = build(&job, "one").await;
    assert_eq!((cached_runs(&output), &same), (2, &first), "{output}");
    let (changed, output) = build(&job, "two").await;
    // That of the stage that is not in the image, too.
    assert_eq!(cached_runs(&output), 2, "{output}");
    assert_ne!(changed, first);

    job.cache = false;
    let (_, output) = build(&job, "two").await;
    assert_eq!(cached_runs(&output), 0, "{output}");
    job.cache = true;
    let (_, output) = build(&job, "two").await;
    assert_eq!(cached_runs(&output), 0, "what was kept is gone: {output}");
}

/// Number of `RUN` steps that came from the cache: BuildKit prints `#6 [made 2/2] RUN date`, then `#6 CACHED`, or, if a
/// later step reads their files, the layer that it fetches: `#6 sha256:...`.
fn cached_runs(output: &str) -> usize {
    let runs = output.lines().filter(|line| line.contains("] RUN "));
    let numbers: std::collections::BTreeSet<_> =
        runs.filter_map(|line| line.trim().split(' ').next()).collect();
    let is_cached = |number: &&&str| {
        let (cached, fetched) = (format!("{number} CACHED"), format!("{number} sha256:"));
        output.lines().any(|line| line.trim() == cached || line.trim().starts_with(&fetched))
    };
    numbers.iter().filter(is_cached).count()
}

/// Else each step copies its base, half a gigabyte of it.
#[tokio::test]
async fn the_files_of_a_step_are_laid_over_its_base() {
    let world = World::new().await;
    let dockerfile = "FROM deis/stack\nRUN awk '$2 == \"/\" { print \"root is\", $3 }' /proc/self/mounts\n";

    let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", dockerfile)]).await;

    built.unwrap_or_else(|error| panic!("{error}: {output}"));
    assert!(output.contains("root is overlay\n"), "{output}");
}

#[tokio::test]
async fn a_failing_step_tells_its_output_and_exit_code() {
    let world = World::new().await;
    let dockerfile = "FROM deis/stack\nRUN echo step-output; exit 7\n";

    let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", dockerfile)]).await;

    assert!(matches!(built, Err(JobError::Failed { exit_code: 7 })), "{built:?}: {output}");
    assert!(output.contains("step-output"), "{output}");
}

#[tokio::test]
async fn what_dockerignore_names_is_not_in_the_image_and_heredocs_are_understood() {
    let world = World::new().await;
    let dockerfile = "FROM deis/stack\nWORKDIR /app\nCOPY . .\nRUN <<EOF\nfind . -type f | sort\nEOF\n";
    let files = [("Dockerfile", dockerfile), (".dockerignore", ".env\n"), (".env", "x"), ("kept", "x")];

    let (built, output) = world.build(&job(BuildKind::Dockerfile), &files).await;

    built.unwrap_or_else(|error| panic!("{error}: {output}"));
    let listed: Vec<_> = output.lines().filter_map(|line| Some(line.split_once(" ./")?.1)).collect();
    assert_eq!(listed, [".dockerignore", "Dockerfile", "kept"], "{output}");
}

/// User code is root of a user namespace alone.
#[tokio::test]
async fn a_step_has_no_right_outside_its_namespaces() {
    let world = World::new().await;
    let dockerfile = "FROM deis/stack\nUSER root\nRUN echo \"map $(head -1 /proc/self/uid_map | tr -s ' ')\"\n\
        RUN grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status\n\
        RUN ls /workspace /var/lib/buildkit 2>&1; cat /proc/1/environ 2>&1 | head -c 100\n";

    let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", dockerfile)]).await;

    built.unwrap_or_else(|error| panic!("{error}: {output}"));
    assert!(output.contains(" 0 1000 1\n"), "root of a step is no root of the node: {output}");
    assert!(output.contains("NoNewPrivs:\t1") && output.contains("Seccomp:\t2"), "{output}");
    assert!(output.contains("cannot access '/var/lib/buildkit'"), "{output}");
    assert!(output.contains("/proc/1/environ: Permission denied"), "{output}");
}

#[tokio::test]
async fn images_of_others_are_no_base_for_a_build() {
    let world = World::new().await;
    let host = &world.registry.node_host;
    let foreign = format!("ARG BASE={host}/shop:v1\nFROM $BASE\n");
    let copied = format!("FROM scratch\nCOPY --from={host}/shop:v1 /app /app\n");

    for dockerfile in [foreign, copied] {
        let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;
        assert!(matches!(built, Err(JobError::Failed { exit_code: 1 })), "{built:?}: {output}");
        assert!(output.contains("failed to solve"), "{output}");
    }
    let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("README", "no Dockerfile")]).await;
    assert!(matches!(built, Err(JobError::Failed { exit_code: 1 })), "{built:?}: {output}");
    assert!(output.contains("Dockerfile: no such file or directory"), "{output}");
    world.no_build_is_left().await;
}

#[tokio::test]
async fn build_arguments_come_from_the_config_where_the_app_wants_that() {
    let world = World::new().await;
    let dockerfile = "FROM deis/stack\nARG COLOR=none\nENV SHOWN=$COLOR\nENTRYPOINT [\"/bin/sh\", \"-c\", \"echo $SHOWN\"]\n";
    let mut job = job(BuildKind::Dockerfile);
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    for (build_args, color) in [(false, "none\n"), (true, "teal\n")] {
        job.dockerfile.build_args = build_args;
        let (built, output) = world.build(&job, &[("Dockerfile", dockerfile)]).await;
        let image = built.unwrap_or_else(|error| panic!("{error}: {output}")).image;
        let finished = world.jobs.run(&OneOff { ..one_off(&job.app, image) }).await.expect("it runs");
        assert_eq!(finished.output, color);
    }
}
