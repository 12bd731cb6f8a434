//! Builds from a Dockerfile.

use std::collections::BTreeMap;

use domain::build::{BuildKind, BuiltImage};
use engine::JobError;

use crate::world::{STACK_IMAGE, World, job, need_stack};

#[tokio::test]
async fn a_dockerfile_build_ends_as_an_image_with_its_ports_and_user() {
    let world = World::new().await;
    let dockerfile = "FROM scratch\nCOPY hello /hello\nEXPOSE 9090 8080/tcp\nUSER 1001\nCMD [\"/hello\"]\n";

    let (built, output) =
        world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", dockerfile), ("hello", "hi")]).await;

    let BuiltImage { image, ports, user, process_types } = built.expect(&output);
    assert_eq!((ports, user.as_str(), process_types), (vec![8080, 9090], "1001", BTreeMap::new()));
    assert!(output.contains("COPY hello /hello"), "{output}");
    let name = format!("{}:{}", world.repository("blog"), image.digest().hex());
    let id = world.docker(&["image", "inspect", "--format", "{{.Id}}", &name]);
    assert_eq!(id, [image.digest().to_string()]);
}

#[tokio::test]
async fn a_failing_step_tells_dockers_message_and_its_exit_code() {
    need_stack();
    let world = World::new().await;
    let dockerfile = format!("FROM {STACK_IMAGE}\nRUN echo step-output; exit 7\n");

    let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;

    assert!(matches!(built, Err(JobError::Failed { exit_code: 7 })), "{built:?}");
    assert!(output.contains("step-output"), "{output}");
    assert!(output.contains("returned a non-zero code: 7"), "{output}");
}

#[tokio::test]
async fn a_dockerfile_that_cannot_be_read_is_told_with_its_line() {
    let world = World::new().await;

    let (built, output) =
        world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", "FROM scratch\nFOO bar\n")]).await;

    assert!(matches!(built, Err(JobError::Failed { exit_code: 1 })), "{built:?}");
    assert!(output.contains("FOO"), "{output}");
}

#[tokio::test]
async fn an_image_of_another_app_is_no_base_for_a_build() {
    let world = World::new().await;
    let foreign = format!("ARG BASE={}:v1\nFROM $BASE\n", world.repository("shop"));
    let copied = format!("FROM scratch\nCOPY --from={}:v1 /app /app\n", world.repository("shop"));

    for dockerfile in [foreign, copied] {
        let (built, _) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;
        let reason = built.expect_err("the build is refused").to_string();
        assert!(reason.contains("belongs to another app"), "{reason}");
    }
    let (built, _) = world.build(&job(BuildKind::Dockerfile), &[("README", "no Dockerfile")]).await;
    assert!(built.expect_err("the build is refused").to_string().contains("no Dockerfile"));
}

#[tokio::test]
async fn build_arguments_come_from_the_config_where_the_app_wants_that() {
    let world = World::new().await;
    let dockerfile = "FROM scratch\nARG COLOR=none\nLABEL color=$COLOR\n";
    let mut job = job(BuildKind::Dockerfile);
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    for (build_args, color) in [(false, "none"), (true, "teal")] {
        job.build_args = build_args;
        let (built, output) = world.build(&job, &[("Dockerfile", dockerfile)]).await;
        let digest = built.expect(&output).image.digest().to_string();
        let label = world.docker(&["image", "inspect", "--format", "{{.Config.Labels.color}}", &digest]);
        assert_eq!(label, [color]);
    }
}

#[tokio::test]
async fn stages_and_failed_steps_are_kept_under_names_of_the_app() {
    need_stack();
    let world = World::new().await;
    let dockerfile =
        format!("FROM {STACK_IMAGE} AS made\nRUN echo a >/tmp/a\nFROM scratch\nCOPY --from=made /tmp/a /a\n");
    let reference = format!("reference={}:stage-*", world.repository("blog"));
    let stages = || world.docker(&["images", "--quiet", "--no-trunc", "--filter", &reference]);

    let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;
    built.expect(&output);
    let first = stages();
    let changed = dockerfile.replace("echo a", "echo b");
    let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", &changed)]).await;
    built.expect(&output);

    let second = stages();
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
    let gone = world.docker(&["image", "inspect", "--format", "{{.Id}}", &first[0]]);
    assert!(gone.is_empty(), "the stage of the build before is left: {gone:?}");
}

#[tokio::test]
async fn a_dockerfile_build_ends_at_its_deadline_and_leaves_nothing() {
    need_stack();
    let world = World::new().await;
    let dockerfile = format!("FROM {STACK_IMAGE}\nRUN echo {}; sleep 60\n", world.instance);
    let mut job = job(BuildKind::Dockerfile);
    job.deadline_seconds = 2;

    let (built, output) = world.build(&job, &[("Dockerfile", &dockerfile)]).await;

    assert!(matches!(built, Err(JobError::TimedOut { seconds: 2 })), "{built:?}");
    assert!(output.contains(&world.instance), "the step has begun: {output}");
    let network = format!("network=deis-{}--builds", world.instance);
    world.none_is_left(&["ps", "--all", "--quiet", "--filter", &network]).await;
}
