//! Promises of lines.

use std::collections::BTreeMap;

use domain::logs::{LogLine, LogSource};
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::Subject;
use super::load::get;
use super::setting::*;

pub(super) fn platform_line(text: &str, time: Timestamp) -> LogLine {
    let source = LogSource::Platform { component: "controller".to_owned(), level: "INFO".to_owned() };
    LogLine { time, app: app(), source, text: text.to_owned() }
}

/// A line that the platform writes reaches a reader unchanged.
pub async fn lines_of_the_platform_are_followed(subject: &dyn Subject) {
    let engine = subject.engine();
    let mut lines = engine.follow(BTreeMap::new());
    let line = platform_line("alice created initial release", Timestamp::now());

    engine.write(line.clone());

    assert_eq!(timeout(TIMEOUT, lines.next()).await.expect("in time"), Some(line));
}

/// A new reader gets the platform's lines younger than the time that it names, each once.
pub async fn a_late_reader_has_the_lines_that_it_missed(subject: &dyn Subject) {
    let engine = subject.engine();
    let now = Timestamp::now();
    let seconds = |seconds| now + SignedDuration::from_secs(seconds);
    for (text, time) in [("known", seconds(0)), ("missed", seconds(1))] {
        engine.write(platform_line(text, time));
    }

    let mut lines = engine.follow(BTreeMap::from([(app(), now)]));
    engine.write(platform_line("new", seconds(2)));

    for expected in ["missed", "new"] {
        let line = timeout(TIMEOUT, lines.next()).await.expect("in time").expect("the engine lives");
        assert_eq!(line.text, expected);
    }
}

/// Readers do not take lines from each other, and one that is gone disturbs none.
pub async fn each_reader_has_every_line(subject: &dyn Subject) {
    let engine = subject.engine();
    let (mut one, mut other) = (engine.follow(BTreeMap::new()), engine.follow(BTreeMap::new()));
    drop(engine.follow(BTreeMap::new()));
    let lines = ["first", "second"].map(|text| platform_line(text, Timestamp::now()));

    lines.iter().for_each(|line| engine.write(line.clone()));

    for line in lines {
        for reader in [&mut one, &mut other] {
            let told = timeout(TIMEOUT, reader.next()).await.expect("in time");
            assert_eq!(told.as_ref(), Some(&line));
        }
    }
}

/// Runtimes give long lines in pieces, cut anywhere.
pub async fn a_long_line_stays_whole_and_beyond_the_bound_comes_in_marked_parts(subject: &dyn Subject) {
    let engine = subject.engine();
    let mut lines = engine.follow(BTreeMap::new());
    let desired = with_env(web(subject, 2), "LONG_LINES", "262000,600000");

    deploy_well(&engine, &desired).await;

    let mut texts = Vec::new();
    while texts.len() < 4 {
        let line = timeout(TIMEOUT, lines.next()).await.expect("in time").expect("the engine lives");
        texts.push(line.text);
    }
    assert!(texts[0] == format!("a{}", "é".repeat(131_000)), "{} bytes", texts[0].len());
    let marks: Vec<_> = texts[1..].iter().filter_map(|text| Some(text.split_once("] ")?.0)).collect();
    assert_eq!(marks, ["[part 1 of a long line", "[part 2 of a long line", "[part 3, the last"]);
    let whole: String = texts[1..].iter().filter_map(|text| Some(text.split_once("] ")?.1)).collect();
    assert!(whole == format!("a{}", "é".repeat(300_000)), "{} bytes", whole.len());
}

/// No line is lost, repeated or out of order, also over a crash and a second run.
pub async fn lines_of_processes_come_in_order_and_once(subject: &dyn Subject) {
    const LINES: usize = 300;
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let mut lines = engine.follow(BTreeMap::new());
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
        let line = timeout(TIMEOUT, lines.next()).await.expect("in time").expect("the engine lives");
        assert_eq!(line.text, format!("line {number}"));
        let LogSource::Process { process, release, pod } = line.source else { panic!("{line:?}") };
        assert_eq!((process.as_str(), release, pod.len()), ("web", 2, 5));
    }
}
