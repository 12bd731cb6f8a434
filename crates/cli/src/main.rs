//! `deis`: the command-line client of the platform.
//!
//! It knows nothing but the API and git. What the user typed is understood in `dispatch` and `grammar`; what it
//! does is in `commands`, one file per group.

mod api_version;
mod app;
mod command;
mod commands;
mod context;
mod dispatch;
mod failure;
mod git;
mod grammar;
mod help;
mod listing;
mod plugin;
mod profile;
mod progress;
mod prompt;
mod session;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    ExitCode::from(dispatch::run(words.collect()))
}
