//! Jobs and images on a real Docker daemon: builds, one-off processes, pulled and local images.

mod address;
mod buildpack;
mod dockerfile;
mod images;
mod one_off;
mod registry;
mod world;
