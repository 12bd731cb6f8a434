//! One-off processes that no node can take, or whose image is gone.

use domain::Image;
use domain::build::OneOff;
use domain::deployment::Limits;
use engine::Jobs as _;
use engine::conformance::builds::{BuildSubject as _, one_off, shell};

use crate::world::World;

#[tokio::test]
async fn a_one_off_process_that_cannot_start_is_told_why() {
    let world = World::with(|settings| settings.job_start_seconds = 20).await;
    let app = world.new_app();
    let image = world.stack_of(&app).await;

    let limits = Limits { cpu_request_millis: Some(900_000), ..Limits::default() };
    let large = world.jobs.run(&OneOff { limits, ..shell(&app, &image, "true") }).await;
    let reason = large.expect_err("no node has so many processors").to_string();
    assert!(reason.contains("no node can take it") && reason.contains("Insufficient cpu"), "{reason}");

    let gone = Image::Built { app: app.clone(), digest: domain::Digest::of(b"gone") };
    let gone = world.jobs.run(&one_off(&app, gone)).await;
    let reason = gone.expect_err("it is not there").to_string();
    assert!(reason.contains("cannot be pulled"), "{reason}");
}
