//! Builds that nobody waits for any more.

use std::time::Duration;

use bytes::Bytes;
use domain::build::BuildKind;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{BuildLimits, BuildSubject, job, nothing_is_left, source, with_hook};
use crate::{JobError, Jobs as _};

/// Longest time until the user's code runs.
const BEGUN_MAX: Duration = Duration::from_secs(120);

/// Both kinds, whether the caller goes away or the platform's process is killed.
pub async fn a_dropped_build_and_a_build_of_a_dead_process_are_removed<S: BuildSubject>() {
    let mut subject = S::start(BuildLimits::default()).await;
    let dockerfile = format!("FROM {}\nRUN echo begun; sleep 600\n", subject.base());
    let buildpack = with_hook("#!/bin/bash\necho begun\nsleep 600\n");

    for (kind, files) in
        [(BuildKind::Buildpack, &buildpack[..]), (BuildKind::Dockerfile, &[("Dockerfile", &dockerfile)])]
    {
        for is_dropped in [true, false] {
            let (sender, mut output) = mpsc::channel(64);
            let job = job(&subject, kind);
            let mut build = subject.jobs().build(&job, source(files), sender);
            until_it_prints("begun", &mut build, &mut output).await;
            assert_eq!(subject.running().len(), 1, "{kind:?}");
            if is_dropped {
                drop(build);
            } else {
                // The guard never runs, as after kill -9; the next process finds what is left.
                std::mem::forget(build);
                subject.take_over().await;
            }
            nothing_is_left(&subject).await;
        }
    }
}

/// Waits until a build has printed a line that ends so.
///
/// # Panics
///
/// When the build ends, or prints no such line in time.
pub async fn until_it_prints<T>(
    ending: &str,
    build: &mut (impl Future<Output = Result<T, JobError>> + Unpin),
    output: &mut mpsc::Receiver<Bytes>,
) {
    let mut printed = String::new();
    let line = format!("{ending}\n");
    let seen = async {
        while !printed.contains(&line) {
            let chunk = output.recv().await.expect("the build goes on");
            printed.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    tokio::select! {
        seen = timeout(BEGUN_MAX, seen) => seen.expect("the build prints in time"),
        built = build => panic!("the build ended: {:?}", built.err()),
    }
}
