//! Promises of lines.

use std::collections::BTreeMap;
use std::pin::Pin;

use domain::logs::{LogLine, LogOrigin};
use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout;

use super::RealSubject;
use super::load::get;
use super::setting::*;

/// The next line of a reader.
pub(super) async fn next(lines: &mut Pin<Box<dyn Stream<Item = LogLine> + Send>>) -> LogLine {
    timeout(TIMEOUT, lines.next()).await.expect("in time").expect("the engine lives")
}

/// A new reader gets the lines younger than the time that it names, each once, and those that come.
pub async fn a_late_reader_has_the_lines_that_it_missed(subject: &dyn RealSubject) {
    const LINES: usize = 20;
    let (engine, source) = (subject.engine(), subject.log_source());
    let mut lines = source.follow(BTreeMap::new());
    deploy_well(&engine, &with_env(web(subject, 2), "LINES", &LINES.to_string())).await;
    let mut times = Vec::new();
    while times.len() < LINES {
        times.push(next(&mut lines).await.time);
    }

    let known = times[LINES / 2];
    let mut late = source.follow(BTreeMap::from([(app(), known)]));
    deploy_well(&engine, &with_env(web(subject, 3), "LINES", "1")).await;

    let missed = times.iter().enumerate().filter(|(_, time)| **time > known);
    for number in missed.map(|(number, _)| number).chain([0]) {
        assert_eq!(next(&mut late).await.text, format!("line {number}"));
    }
}

/// Readers do not take lines from each other, and one that is gone disturbs none.
pub async fn each_reader_has_every_line(subject: &dyn RealSubject) {
    let source = subject.log_source();
    let (mut one, mut other) = (source.follow(BTreeMap::new()), source.follow(BTreeMap::new()));
    drop(source.follow(BTreeMap::new()));

    deploy_well(&subject.engine(), &with_env(web(subject, 2), "LINES", "2")).await;

    for expected in ["line 0", "line 1"] {
        for reader in [&mut one, &mut other] {
            assert_eq!(next(reader).await.text, expected);
        }
    }
}

/// Runtimes give long lines in pieces, cut anywhere.
pub async fn a_long_line_stays_whole_and_beyond_the_bound_comes_in_marked_parts(subject: &dyn RealSubject) {
    let mut lines = subject.log_source().follow(BTreeMap::new());
    let desired = with_env(web(subject, 2), "LONG_LINES", "262000,600000");

    deploy_well(&subject.engine(), &desired).await;

    let mut texts = Vec::new();
    while texts.len() < 4 {
        texts.push(next(&mut lines).await.text);
    }
    assert!(texts[0] == format!("a{}", "é".repeat(131_000)), "{} bytes", texts[0].len());
    let marks: Vec<_> = texts[1..].iter().filter_map(|text| Some(text.split_once("] ")?.0)).collect();
    assert_eq!(marks, ["[part 1 of a long line", "[part 2 of a long line", "[part 3, the last"]);
    let whole: String = texts[1..].iter().filter_map(|text| Some(text.split_once("] ")?.1)).collect();
    assert!(whole == format!("a{}", "é".repeat(300_000)), "{} bytes", whole.len());
}

/// No line is lost, repeated or out of order, also over a crash and a second run.
pub async fn lines_of_processes_come_in_order_and_once(subject: &dyn RealSubject) {
    const LINES: usize = 300;
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let mut lines = subject.log_source().follow(BTreeMap::new());
    let desired = with_env(web(subject, 2), "LINES", &LINES.to_string());

    deploy_well(&engine, &desired).await;
    let first = route_becomes(&engine, |route| route.is_some_and(|route| route.backends.len() == 1)).await;
    let first = first.expect("there").backends.remove(0);
    // Its second run prints the same again.
    let _ = get(first.address, "/crash").await;
    let again = |key: &str| key != first.key;
    route_becomes(&engine, |route| route.is_some_and(|route| route.backends.iter().any(|b| again(&b.key))))
        .await;

    for number in (0..LINES).chain(0..LINES) {
        let line = next(&mut lines).await;
        assert_eq!(line.text, format!("line {number}"));
        let LogOrigin::Process { process, release, pod } = line.origin else { panic!("{line:?}") };
        assert_eq!((process.as_str(), release, pod.len()), ("web", 2, 5));
    }
}
