//! The program's phases on folders, with buildpacks that are scripts.

mod build_twice;
mod detect;
mod hostile;
mod launch;
mod support;
