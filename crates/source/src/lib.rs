//! Rules of an app's source: names, Procfiles and submodules, and names on which the steps of a build agree. Pure, as in
//! `domain`, which has them too.
//!
//! The program in the stack image follows the same rules as the platform, and needs nothing else of it.

pub mod build_plan;
pub mod build_steps;
pub mod heroku_yml;
pub mod names;
pub mod packs;
pub mod procfile;
pub mod project_toml;
pub mod submodules;
pub mod urls;

pub use names::{AppName, NameError, ProcessType};
