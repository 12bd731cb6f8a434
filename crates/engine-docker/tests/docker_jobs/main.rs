//! Jobs and images on a real Docker daemon: builds, one-off processes, pulled and local images.

mod address;
mod buildpack;
mod dockerfile;
#[path = "../../../slug/tests/git_over_https/mod.rs"]
mod git_over_https;
mod images;
mod one_off;
mod registry;
#[path = "../../../engine/tests/sources/mod.rs"]
mod sources;
mod submodules;
mod world;
