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

#[tokio::test]
async fn a_failing_step_tells_its_output_and_exit_code() {
    let world = World::new().await;
    let dockerfile = "FROM deis/stack\nRUN echo step-output; exit 7\n";

    let (built, output) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", dockerfile)]).await;

    assert!(matches!(built, Err(JobError::Failed { exit_code: 7 })), "{built:?}: {output}");
    assert!(output.contains("step-output"), "{output}");
}

#[tokio::test]
async fn images_of_others_are_no_base_for_a_build() {
    let world = World::new().await;
    let host = &world.registry.node_host;
    let foreign = format!("ARG BASE={host}/shop:v1\nFROM $BASE\n");
    let copied = format!("FROM scratch\nCOPY --from={host}/shop:v1 /app /app\n");

    for dockerfile in [foreign, copied] {
        let (built, _) = world.build(&job(BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;
        let reason = built.expect_err("the build is refused").to_string();
        assert!(reason.contains("belongs to another app"), "{reason}");
    }
    let (built, _) = world.build(&job(BuildKind::Dockerfile), &[("README", "no Dockerfile")]).await;
    assert!(built.expect_err("the build is refused").to_string().contains("no Dockerfile"));
    world.no_build_is_left().await;
}

#[tokio::test]
async fn build_arguments_come_from_the_config_where_the_app_wants_that() {
    let world = World::new().await;
    let dockerfile = "FROM deis/stack\nARG COLOR=none\nENV SHOWN=$COLOR\nENTRYPOINT [\"/bin/sh\", \"-c\", \"echo $SHOWN\"]\n";
    let mut job = job(BuildKind::Dockerfile);
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    for (build_args, color) in [(false, "none\n"), (true, "teal\n")] {
        job.build_args = build_args;
        let (built, output) = world.build(&job, &[("Dockerfile", dockerfile)]).await;
        let image = built.unwrap_or_else(|error| panic!("{error}: {output}")).image;
        let finished = world.jobs.run(&OneOff { ..one_off(&job.app, image) }).await.expect("it runs");
        assert_eq!(finished.output, color);
    }
}
