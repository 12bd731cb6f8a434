//! Builds and one-off processes on a real cluster with the managed registry in it: nodes pull through its
//! proxy, as in production.
//!
//! Needs `KUBECONFIG`, kubectl, the platform's image on the nodes (`WORKFLOW_TEST_IMAGE`) and the archive of
//! the stack image (`WORKFLOW_TEST_STACK`); run it inside the cluster's network, as by `cargo xtask cluster exec`.

mod builds;
mod one_off;
mod registry;
mod world;

use world::World;

engine::promises!(builds, World);
