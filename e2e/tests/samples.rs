//! All apps of `examples/`, pushed one after the other to one platform: `cargo xtask samples`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use e2e::samples::{Registries, SAMPLES, Sample};
use e2e::{Platform, User};

/// Variable with a part of the names of the samples to push.
const ONLY: &str = "WORKFLOW_SAMPLES";

/// Seconds of pushes until the app has answered.
struct Times {
    first: f64,
    one_line: f64,
    unchanged: f64,
}

#[test]
#[ignore = "it takes many minutes; `cargo xtask samples` runs it"]
fn every_sample_is_pushed_and_answers() {
    let only = std::env::var(ONLY).unwrap_or_default();
    let chosen: Vec<_> = SAMPLES.iter().filter(|sample| sample.folder.contains(&only)).collect();
    assert!(!chosen.is_empty(), "no sample has `{only}` in its name");
    let platform = Platform::start();
    let admin = platform.admin();

    let results: Vec<_> =
        chosen.iter().map(|sample| (*sample, times_of(sample, &platform, &admin))).collect();

    for (list, title) in [(Registries::Own, "whole"), (Registries::Mirror, "by mirror")] {
        print_table(title, results.iter().filter(|(sample, _)| sample.registries == list));
    }
    let failed = results.iter().filter(|(_, times)| times.is_err()).count();
    assert_eq!(failed, 0, "samples that failed, of {}", results.len());
}

fn print_table<'a>(title: &str, rows: impl Iterator<Item = &'a (&'a Sample, Result<Times, String>)>) {
    println!("\n{title:<24} {:>8} {:>9} {:>10}", "first, s", "a line, s", "nothing, s");
    for (sample, times) in rows {
        match times {
            Ok(Times { first, one_line, unchanged }) => {
                println!("{:<24} {first:>8.1} {one_line:>9.1} {unchanged:>10.1}", sample.folder);
            }
            Err(reason) => {
                println!("{:<24} FAILED {}", sample.folder, reason.lines().next().unwrap_or_default());
            }
        }
    }
}

/// Pushes a sample three times and removes its app. A failure is the text of its panic: the others go on.
fn times_of(sample: &Sample, platform: &Platform, user: &User<'_>) -> Result<Times, String> {
    println!("==> {}", sample.folder);
    let times = catch_unwind(AssertUnwindSafe(|| {
        let app = sample.app(platform, user);
        let changed = sample.answer.replace("example", "sample");
        let push = |answer: &str| {
            let begun = Instant::now();
            let pushed = app.push().ok().stderr;
            platform.wait_for_answer(sample.folder, answer);
            let seconds = begun.elapsed().as_secs_f64();
            let body = platform.get(sample.folder, "/").expect("it answered before").body;
            let line = body.lines().find(|line| line.contains(answer)).unwrap_or_default();
            println!("    {seconds:.1} s: {line}");
            (seconds, pushed)
        };
        let (first, pushed) = push(sample.answer);
        assert!(pushed.contains(sample.said), "{:?} is missing in:\n{pushed}", sample.said);
        app.change_a_line();
        let (one_line, _) = push(&changed);
        app.commit_nothing();
        Times { first, one_line, unchanged: push(&changed).0 }
    }));
    let name = sample.folder;
    user.deis(&["apps:destroy", &format!("--app={name}"), &format!("--confirm={name}")]);
    times.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}
