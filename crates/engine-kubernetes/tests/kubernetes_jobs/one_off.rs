//! One-off processes.

use std::collections::BTreeMap;

use domain::build::OneOff;
use domain::deployment::Limits;
use domain::{AppName, Image};
use engine::{Images as _, JobError, Jobs as _};
use engine_kubernetes::KubernetesImages;

use crate::registry::kubectl;
use crate::world::{World, new_app};

pub fn one_off(app: &AppName, image: Image) -> OneOff {
    OneOff {
        app: app.clone(),
        name: format!("{app}-run-{:05x}", rand::random::<u32>() >> 12),
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
        deadline_seconds: 120,
    }
}

/// The stack image as an app brings its own.
async fn stack_as_app_image(world: &World, app: &AppName) -> Image {
    let images = KubernetesImages::new(world.settings.registry.clone());
    let reference = format!("{}/deis/stack:latest", world.registry.node_host);
    let resolved = images.resolve(&reference, None).await.expect("the stack is in the registry");
    let Image::External { digest, .. } = resolved.image else { panic!("it was brought") };
    // Under a name that is no app's: what lies in the registry belongs to the app of that name.
    let stack = world.registry.repository("deis/stack", oci::Access::Pull);
    let own = world.registry.repository(app.as_str(), oci::Access::Push).mounting_from(&["deis/stack"]);
    let manifest = stack.manifest(digest.as_str()).await.expect("it is there");
    oci::copy_image(&stack, &manifest, &own, digest.hex()).await.expect("it can be copied");
    Image::Built { app: app.clone(), digest }
}

fn shell(app: &AppName, image: &Image, script: &str) -> OneOff {
    let command = Some(vec!["/bin/bash".to_owned(), "-c".to_owned()]);
    OneOff { command, args: Some(vec![script.to_owned()]), ..one_off(app, image.clone()) }
}

fn nothing_is_left(world: &World, app: &AppName) {
    let namespace = format!("{}{app}", world.settings.namespace_prefix);
    let left = kubectl(&["get", "pods,secrets", "-l", "deis.io/job", "-n", &namespace, "-o", "name"]);
    assert_eq!(left, "");
}

#[tokio::test]
async fn a_one_off_process_gives_its_output_and_exit_code() {
    let world = World::new().await;
    let app = new_app();
    let image = stack_as_app_image(&world, &app).await;

    let mut run = shell(&app, &image, "echo to $COLOR; echo err >&2; exit 3");
    run.env.insert("COLOR".to_owned(), "teal".to_owned());
    let finished = world.jobs.run(&run).await.expect("it runs");

    assert_eq!(finished.exit_code, 3);
    assert!(finished.output.contains("to teal\n") && finished.output.contains("err\n"), "{finished:?}");
    nothing_is_left(&world, &app);
}

#[tokio::test]
async fn a_program_that_does_not_exist_ends_as_in_a_shell() {
    let world = World::new().await;
    let app = new_app();
    let image = stack_as_app_image(&world, &app).await;

    let missing =
        OneOff { command: Some(vec!["/no/such/program".to_owned()]), ..one_off(&app, image.clone()) };
    for run in [missing, shell(&app, &image, "/no/such/program")] {
        let finished = world.jobs.run(&run).await.expect("it ends");
        assert_eq!(finished.exit_code, 127, "{finished:?}");
        assert!(finished.output.contains("No such file or directory"), "{finished:?}");
    }
    nothing_is_left(&world, &app);
}

#[tokio::test]
async fn a_one_off_process_is_bounded_in_time_memory_and_place() {
    let world = World::with(|settings| settings.job_start_seconds = 20).await;
    let app = new_app();
    let image = stack_as_app_image(&world, &app).await;
    world.jobs.run(&shell(&app, &image, "true")).await.ok();

    let slow = OneOff { deadline_seconds: 4, ..shell(&app, &image, "sleep 600") };
    let slow = world.jobs.run(&slow).await;
    assert!(matches!(slow, Err(JobError::TimedOut { seconds: 4 })), "{slow:?}");

    let limits = Limits { memory_limit_bytes: Some(32 << 20), ..Limits::default() };
    let hungry = "python3 -c 'x = bytearray(100_000_000)'";
    let hungry = world.jobs.run(&OneOff { limits, ..shell(&app, &image, hungry) }).await.expect("it ends");
    assert_ne!(hungry.exit_code, 0);
    assert!(hungry.output.contains("needed more than 32 MB"), "{hungry:?}");

    let tags = BTreeMap::from([("no-such-label".to_owned(), "x".to_owned())]);
    let elsewhere = world.jobs.run(&OneOff { tags, ..shell(&app, &image, "true") }).await;
    assert!(elsewhere.expect_err("no node fits").to_string().contains("no node has no-such-label=x"));

    let limits = Limits { cpu_request_millis: Some(900_000), ..Limits::default() };
    let large = world.jobs.run(&OneOff { limits, ..shell(&app, &image, "true") }).await;
    let reason = large.expect_err("no node has so many processors").to_string();
    assert!(reason.contains("no node can take it") && reason.contains("Insufficient cpu"), "{reason}");

    let gone = Image::Built { app: app.clone(), digest: domain::Digest::of(b"gone") };
    let gone = world.jobs.run(&one_off(&app, gone)).await;
    let reason = gone.expect_err("it is not there").to_string();
    assert!(reason.contains("cannot be pulled"), "{reason}");
}
