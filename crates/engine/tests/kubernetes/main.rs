//! The engine of a cluster is held to all promises, on the Kubernetes that `KUBECONFIG` names.
//!
//! Pods' addresses must be reachable: `cargo xtask cluster exec -- cargo test -p engine --test kubernetes`.

#[path = "../program/image.rs"]
mod image;
mod nodes;
mod world;

use world::World;

engine::promises!(every, world);
engine::promises!(real, world);

async fn world() -> World {
    World::new().await
}
