//! The program inside the stack image: builds a slug, runs its processes, serves static files.
//!
//! It is linked statically, so that it starts in any stack, and speaks no TLS: what has to be
//! fetched is fetched by the stack's git and curl.

mod arguments;
mod build;
mod failure;
mod process_types;
mod release;
mod run;
mod serve;

use std::process::ExitCode;

use arguments::SlugCommand;
use build::fifos::NextStep;
use failure::SlugError;

fn main() -> ExitCode {
    match carry_out(std::env::args_os().skip(1)) {
        Ok(code) => code,
        Err(SlugError { exit_code, message }) => {
            eprintln!(" !     {message}");
            ExitCode::from(exit_code)
        }
    }
}

fn carry_out(words: impl Iterator<Item = std::ffi::OsString>) -> Result<ExitCode, SlugError> {
    match arguments::parse(words)? {
        SlugCommand::Build { paths, has_fifos: false } => build::build(&paths).map(|()| ExitCode::SUCCESS),
        SlugCommand::Build { paths, has_fifos: true } => {
            let next = NextStep::after_source(&paths.workspace)?;
            build::build(&paths)?;
            next.begin().map(|()| ExitCode::SUCCESS)
        }
        SlugCommand::Submodules { workspace } => {
            build::submodules::fetch(&workspace).map(|()| ExitCode::SUCCESS)
        }
        SlugCommand::Run { app_dir, what } => run::run(&app_dir, &what).map(ExitCode::from),
        SlugCommand::Static { options, port } => serve::serve(&options, port).map(|()| ExitCode::SUCCESS),
        SlugCommand::CheckStatic(options) => serve::check(&options).map(|()| ExitCode::SUCCESS),
        SlugCommand::Help => {
            println!("{}", arguments::USAGE);
            Ok(ExitCode::SUCCESS)
        }
    }
}
