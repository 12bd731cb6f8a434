//! The engine of a cluster is held to all promises, on the Kubernetes that `KUBECONFIG` names.
//!
//! Pods' addresses must be reachable: `cargo xtask cluster exec -- cargo test -p engine --test kubernetes`, with
//! the program of CNCF Distribution in `WORKFLOW_TEST_REGISTRY` and the nodes' logs in `WORKFLOW_TEST_NODE_LOGS`.

mod adoption;
mod away;
#[path = "../../../engine/tests/program/image.rs"]
mod image;
mod node_logs;
mod nodes;
mod platform;
mod registries;
mod remains;
mod world;

use world::World;

engine::promises!(every, world);
engine::promises!(real, world);

async fn world() -> World {
    World::new().await
}
