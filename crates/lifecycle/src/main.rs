//! The program `lifecycle`: each phase is a subcommand, and a copy of the program under a phase's name is that phase.

use std::process::ExitCode;

use lifecycle::failure::{LifecycleError, Result, code};

fn main() -> ExitCode {
    match carry_out() {
        Ok(()) => ExitCode::SUCCESS,
        Err(LifecycleError { exit_code, message }) => {
            eprintln!("ERROR: {message}");
            ExitCode::from(exit_code)
        }
    }
}

fn carry_out() -> Result<()> {
    Err(LifecycleError::new(code::USAGE, "no phase is there yet"))
}
