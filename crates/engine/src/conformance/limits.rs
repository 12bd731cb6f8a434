//! Promises of limits.

use domain::deployment::{Limits, Workload};

use super::Subject;
use super::load::get;
use super::probes::{comes_back, only_backend};
use super::setting::*;

pub async fn memory_beyond_the_limit_is_refused(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let limits = Limits { memory_limit_bytes: Some(64 << 20), ..Limits::default() };
    deploy_well(&engine, &Workload { limits, ..web(subject, 2) }).await;
    let backend = only_backend(&engine).await;

    let hog = get(backend.address, "/hog").await;

    assert!(hog.is_err(), "{hog:?}");
    comes_back(&engine, &backend).await;
}

pub async fn processes_beyond_the_limit_are_refused(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;

    let threads = get(only_backend(&engine).await.address, "/threads").await;

    let threads: usize = threads.expect("it answers").parse().expect("a number");
    assert!((1..subject.pids_max()).contains(&threads), "{threads}");
}
