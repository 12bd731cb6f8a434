//! The program `lifecycle`: each phase is a subcommand, and a copy of the program under a phase's name is that phase.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use lifecycle::commands::run;
use lifecycle::failure::{LifecycleError, Result, code};
use lifecycle::phase::Phase;

const USAGE: &str = "usage: lifecycle PHASE [-FLAG VALUE]...; the phases are analyzer, detector, restorer, builder, exporter, \
                     rebaser and launcher";

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
    let mut words = std::env::args_os();
    let called = words.next().map(|path| file_name(Path::new(&path))).unwrap_or_default();
    let mut words: Vec<OsString> = words.collect();
    // Links lead to the file that decides: the launcher has links of any name.
    let file = std::env::current_exe().map(|path| file_name(&path)).unwrap_or_default();
    if let Some(phase) = Phase::named(&file).or_else(|| Phase::named(&called)) {
        return run(phase, &called, words);
    }
    let usage = || LifecycleError::new(code::USAGE, USAGE);
    let name = words.first().and_then(|word| word.to_str()).ok_or_else(usage)?;
    let phase = Phase::named(name).ok_or_else(usage)?;
    let name = name.to_owned();
    words.remove(0);
    run(phase, &name, words)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
