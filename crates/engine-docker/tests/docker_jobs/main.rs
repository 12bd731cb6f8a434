//! Jobs and images on a real Docker daemon: the promises of builds, pulled and local images.

mod address;
mod dockerfile;
#[path = "../../../slug/tests/git_over_https/mod.rs"]
mod git_over_https;
mod images;
#[path = "../machine/mod.rs"]
mod machine;
mod registry;
mod stacks;
mod submodules;
mod world;

use world::World;

engine::promises!(builds, World);
engine::promises!(cnb, World);
