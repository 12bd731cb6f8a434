//! Processes that are told the address of their container, with an entrypoint of their image.

use domain::build::{BuildKind, OneOff};
use domain::deployment::Workload;
use engine::conformance::builds::{built, job, nothing_is_left, one_off};
use engine::{Engine as _, Jobs as _, Outcome};
use serde_json::json;
use testkit::docker::docker;

use crate::world::World;

const SOURCE: &[(&str, &str)] =
    &[("Procfile", "worker: echo \"at $POD_IP\"; exec sleep 600\n"), ("bin/none", "")];

#[tokio::test]
async fn a_process_of_a_slug_knows_its_address_where_it_is_told() {
    let world = World::new().await;
    let job = job(&world, BuildKind::Buildpack);
    let (built, _) = built(&world, &job, SOURCE).await;
    let image = built.image;

    let args = Some(["--", "echo \"at $POD_IP\"; hostname -i"].map(str::to_owned).to_vec());
    let run = OneOff { args, knows_address: true, ..one_off(&job.app, image.clone()) };
    let finished = world.engine.run(&run).await.expect("it runs");
    let (told, own) = finished.output.trim().split_once('\n').expect("two lines");
    assert_eq!(told, format!("at {own}"));

    let workload = json!({
        "id": {"app": job.app, "process": "worker"}, "release": 2, "image": image, "command": null,
        "args": ["worker"], "env": {}, "port": null, "replicas": {"fixed": 1}, "limits": {}, "tags": {},
        "probes": {}, "hooks": {}, "grace_seconds": 1, "start_timeout_seconds": 20, "knows_address": true,
    });
    let workload: Workload = serde_json::from_value(workload).expect("a workload");
    world.engine.apply(&workload).await.expect("reachable");
    let outcome = world.engine.outcome(&workload.id, 2).await.expect("reachable");
    assert_eq!(outcome, Outcome::Running);
    let container = world.instance.containers().remove(0);
    // It ran long enough to count as ready, so it has said its line.
    let address = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &container,
    ]);
    assert_eq!(docker(&["logs", &container]), [format!("at {}", address[0])]);
    world.engine.remove(&workload.id).await.expect("reachable");
    nothing_is_left(&world).await;
}
