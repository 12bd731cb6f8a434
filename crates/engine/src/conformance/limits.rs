//! Promises of limits.

use domain::deployment::{Limits, Workload};

use super::Subject;
use super::load::get;
use super::probes::{comes_back, next_crash, only_backend};
use super::setting::*;

/// A process above its memory limit is killed, reported as out of memory, and started again.
pub async fn memory_beyond_the_limit_is_refused(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let limits = Limits { memory_limit_bytes: Some(64 << 20), ..Limits::default() };
    deploy_well(&engine, &Workload { limits, ..web(subject, 2) }).await;
    let backend = only_backend(&engine).await;

    let mut crashes = engine.crashes();
    let hog = get(backend.address, "/hog").await;

    assert!(hog.is_err(), "{hog:?}");
    comes_back(&engine, &backend).await;
    let crash = next_crash(&mut crashes).await;
    assert_eq!(
        (crash.crashes.exit.is_out_of_memory, crash.memory_limit_bytes),
        (true, Some(64 << 20)),
        "{crash:?}"
    );
}

/// A replica can have fewer than [`Subject::pids_max`] threads.
pub async fn processes_beyond_the_limit_are_refused(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;

    let threads = get(only_backend(&engine).await.address, "/threads").await;

    let threads: usize = threads.expect("it answers").parse().expect("a number");
    assert!((1..subject.pids_max()).contains(&threads), "{threads}");
}
