//! Processes that are told the address of their container, with an entrypoint of their image.

use domain::build::{BuildKind, OneOff};
use domain::deployment::Workload;
use engine::{Engine as _, Jobs as _, Outcome};
use serde_json::json;

use crate::one_off::one_off;
use crate::world::{World, job, need_stack};

const SOURCE: &[(&str, &str)] =
    &[("Procfile", "worker: echo \"at $POD_IP\"; exec sleep 600\n"), ("bin/none", "")];

#[tokio::test]
async fn a_process_of_a_slug_knows_its_address_where_it_is_told() {
    need_stack();
    let world = World::new().await;
    let (built, output) = world.build(&job(BuildKind::Buildpack), SOURCE).await;
    let image = built.expect(&output).image;

    let args = Some(["--", "echo \"at $POD_IP\"; hostname -i"].map(str::to_owned).to_vec());
    let run = OneOff { args, knows_address: true, ..one_off(image.clone()) };
    let finished = world.engine.run(&run).await.expect("it runs");
    let (told, own) = finished.output.trim().split_once('\n').expect("two lines");
    assert_eq!(told, format!("at {own}"));

    let workload = json!({
        "id": {"app": "blog", "process": "worker"}, "release": 2, "image": image, "command": null,
        "args": ["worker"], "env": {}, "port": null, "replicas": {"fixed": 1}, "limits": {}, "tags": {},
        "probes": {}, "hooks": {}, "grace_seconds": 1, "start_timeout_seconds": 20, "knows_address": true,
    });
    let workload: Workload = serde_json::from_value(workload).expect("a workload");
    world.engine.apply(&workload).await.expect("reachable");
    let outcome = world.engine.outcome(&workload.id, 2).await.expect("reachable");
    assert_eq!(outcome, Outcome::Running);
    let container = world.containers().remove(0);
    // It ran long enough to count as ready, so it has said its line.
    let address = world.docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &container,
    ]);
    assert_eq!(world.docker(&["logs", &container]), [format!("at {}", address[0])]);
    world.engine.remove(&workload.id).await.expect("reachable");
    world.no_container_is_left().await;
}
