//! Inputs that failed once; each has a folder in `e2e/cases` with the expected result. They concern packs and git,
//! which are the same on both engines, or the processes of an app.

use std::path::Path;
use std::time::Duration;

use e2e::{User, wait_until_blocking};

#[path = "cases/edge.rs"]
mod edge;
#[path = "cases/git.rs"]
mod git;
#[path = "../../crates/slug/tests/git_over_https/mod.rs"]
mod git_over_https;
#[path = "cases/packs.rs"]
mod packs;
#[path = "cases/processes.rs"]
mod processes;
#[path = "cases/small_files.rs"]
mod small_files;

/// A file of a case.
fn read_case(case: &str, file: &str) -> String {
    let path = e2e::checkout().join("e2e/cases").join(case).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Waits until some line of the app's log has all of these texts.
fn is_logged(user: &User<'_>, folder: &Path, texts: &[&str]) {
    wait_until_blocking(&format!("{texts:?} in the log"), Duration::from_secs(30), || {
        let log = user.deis_in(folder, &["logs", "-n", "500"]).ok().stdout;
        log.lines().any(|line| texts.iter().all(|text| line.contains(text))).then_some(())
    });
}
