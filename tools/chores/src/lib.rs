//! Code that chores and tools share: folders of the project, Debian packages, and terminal output of commands.

pub mod packages;
pub mod paths;
pub mod progress;
