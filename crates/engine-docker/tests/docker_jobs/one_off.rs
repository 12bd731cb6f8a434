//! One-off processes.

use std::collections::BTreeMap;

use domain::Image;
use domain::build::OneOff;
use domain::deployment::Limits;
use engine::{Images as _, JobError, Jobs as _};

use crate::world::{STACK_IMAGE, World, app, need_stack};

pub fn one_off(image: Image) -> OneOff {
    OneOff {
        app: app("blog"),
        name: format!("blog-run-{:05x}", rand::random::<u32>() >> 12),
        release: 2,
        image,
        command: None,
        args: None,
        env: BTreeMap::new(),
        user: None,
        limits: Limits::default(),
        tags: BTreeMap::new(),
        pull_policy: None,
        knows_address: false,
        deadline_seconds: 30,
    }
}

/// The stack image as an app brings its own.
async fn stack_as_app_image(world: &World) -> Image {
    need_stack();
    let resolved = world.engine.resolve(STACK_IMAGE, None).await.expect("the stack image is here");
    world.engine.keep(&app("blog"), &resolved.image).await.expect("it can be kept");
    resolved.image
}

fn shell(image: Image, script: &str) -> OneOff {
    let command = Some(vec!["/bin/bash".to_owned(), "-c".to_owned()]);
    OneOff { command, args: Some(vec![script.to_owned()]), ..one_off(image) }
}

#[tokio::test]
async fn a_one_off_process_gives_its_output_and_exit_code() {
    let world = World::new().await;
    let image = stack_as_app_image(&world).await;

    let mut run = shell(image, "echo to $COLOR; echo err >&2; exit 3");
    run.env.insert("COLOR".to_owned(), "teal".to_owned());
    let finished = world.engine.run(&run).await.expect("it runs");

    assert_eq!(finished.exit_code, 3);
    assert!(finished.output.contains("to teal\n") && finished.output.contains("err\n"), "{finished:?}");
    world.no_container_is_left().await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_ends_as_in_a_shell() {
    let world = World::new().await;
    let image = stack_as_app_image(&world).await;

    let missing = OneOff { command: Some(vec!["/no/such/program".to_owned()]), ..one_off(image.clone()) };
    for run in [missing, shell(image, "/no/such/program")] {
        let finished = world.engine.run(&run).await.expect("it ends");
        assert_eq!(finished.exit_code, 127, "{finished:?}");
        assert!(finished.output.contains("No such file or directory"), "{finished:?}");
    }
    world.no_container_is_left().await;
}

#[tokio::test]
async fn a_one_off_process_is_bounded_in_time_memory_and_place() {
    let world = World::new().await;
    let image = stack_as_app_image(&world).await;

    let slow = OneOff { deadline_seconds: 1, ..shell(image.clone(), "sleep 60") };
    let slow = world.engine.run(&slow).await;
    assert!(matches!(slow, Err(JobError::TimedOut { seconds: 1 })), "{slow:?}");

    let limits = Limits { memory_limit_bytes: Some(32 << 20), ..Limits::default() };
    let hungry = OneOff { limits, ..shell(image.clone(), "python3 -c 'x = bytearray(100_000_000)'") };
    let hungry = world.engine.run(&hungry).await.expect("it ends");
    assert_ne!(hungry.exit_code, 0);
    assert!(hungry.output.contains("needed more than 32 MB"), "{hungry:?}");

    let tags = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
    let elsewhere = world.engine.run(&OneOff { tags, ..shell(image, "true") }).await;
    assert!(elsewhere.expect_err("no node fits").to_string().contains("disk=ssd"));
    world.no_container_is_left().await;
}

#[tokio::test]
async fn a_process_knows_its_address_where_it_is_told() {
    let world = World::new().await;
    let image = stack_as_app_image(&world).await;
    let script = "echo \"${POD_IP:-unknown}\"; hostname -i";

    let told = world.engine.run(&OneOff { knows_address: true, ..shell(image.clone(), script) }).await;
    let untold = world.engine.run(&shell(image, script)).await.expect("it runs");

    let told = told.expect("it runs").output;
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "{told}");
    assert!(lines[0].parse::<std::net::Ipv4Addr>().is_ok(), "{told}");
    assert!(untold.output.starts_with("unknown\n"), "{untold:?}");
}
