//! Promises of lines.

use std::collections::BTreeMap;

use domain::logs::{LogLine, LogSource};
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::Subject;
use super::load::get;
use super::setting::*;

fn said(text: &str, time: Timestamp) -> LogLine {
    let source = LogSource::Platform { component: "controller".to_owned(), level: "INFO".to_owned() };
    LogLine { time, app: app(), source, text: text.to_owned() }
}

pub async fn lines_of_the_platform_are_followed(subject: &dyn Subject) {
    let engine = subject.engine();
    let mut lines = engine.follow(BTreeMap::new());
    let line = said("alice created initial release", Timestamp::now());

    engine.write(line.clone());

    assert_eq!(timeout(PATIENCE, lines.next()).await.expect("in time"), Some(line));
}

pub async fn a_late_reader_has_the_lines_that_it_missed(subject: &dyn Subject) {
    let engine = subject.engine();
    let now = Timestamp::now();
    let seconds = |seconds| now + SignedDuration::from_secs(seconds);
    for (text, time) in [("known", seconds(0)), ("missed", seconds(1))] {
        engine.write(said(text, time));
    }

    let mut lines = engine.follow(BTreeMap::from([(app(), now)]));
    engine.write(said("new", seconds(2)));

    for expected in ["missed", "new"] {
        let line = timeout(PATIENCE, lines.next()).await.expect("in time").expect("the engine lives");
        assert_eq!(line.text, expected);
    }
}

pub async fn lines_of_processes_come_in_order_and_once(subject: &dyn Subject) {
    const LINES: usize = 300;
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let mut lines = engine.follow(BTreeMap::new());
    let wish = with_env(web(subject, 2), "LINES", &LINES.to_string());

    deploy_well(&engine, &wish).await;
    let first = route_becomes(&engine, |route| route.is_some_and(|route| route.backends.len() == 1)).await;
    let first = first.expect("there").backends.remove(0);
    // Its second run prints the same again.
    let _ = get(first.address, "/crash").await;
    let again = |key: &str| key != first.key;
    route_becomes(&engine, |route| route.is_some_and(|route| route.backends.iter().any(|b| again(&b.key))))
        .await;

    for number in (0..LINES).chain(0..LINES) {
        let line = timeout(PATIENCE, lines.next()).await.expect("in time").expect("the engine lives");
        assert_eq!(line.text, format!("line {number}"));
        let LogSource::Process { process, release, pod } = line.source else { panic!("{line:?}") };
        assert_eq!((process.as_str(), release, pod.len()), ("web", 2, 5));
    }
}
