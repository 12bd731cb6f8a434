//! The built program, driven as the platform drives it, in temporary folders in place of the stack's.

mod build;
mod custom_buildpack;
mod run;
mod serve;
mod support;
