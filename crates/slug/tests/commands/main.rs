//! The built program, driven as the platform drives it, in temporary folders in place of the stack's.

mod build;
mod custom_buildpack;
#[path = "../git_over_https/mod.rs"]
mod git_over_https;
mod packs;
mod run;
mod serve;
mod submodules;
mod support;
