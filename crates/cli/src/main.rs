//! `deis`: the command-line client of the platform.
//!
//! It knows nothing but the API and git. clap parses the arguments; `commands` has one file per
//! group.

mod api_version;
mod app;
mod command;
mod command_line;
mod commands;
mod context;
mod dispatch;
mod failure;
mod git;
mod help;
mod listing;
mod plugin;
mod profile;
mod progress;
mod prompt;
mod session;
mod terminal;
mod usage_error;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = Vec::new();
    for word in std::env::args_os().skip(1) {
        match word.into_string() {
            Ok(word) => words.push(word),
            Err(word) => {
                terminal::complain(&format!(
                    "Error: the argument '{}' is not UTF-8\n",
                    word.to_string_lossy()
                ));
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::from(dispatch::run(words))
}
