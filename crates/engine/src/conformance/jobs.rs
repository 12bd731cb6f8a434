//! Promises of one-off processes.

use std::collections::BTreeMap;

use domain::build::{OneOff, ProcessResult};

use super::builds;
use super::load::get;
use super::logs::next;
use super::probes::only_backend;
use super::setting::*;
use super::{RealSubject, Subject};

/// Output comes as UTF-8 text of both streams; the process is not among the app's pods.
pub async fn a_one_off_process_gives_its_output_and_exit_code(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.keep(&app(), &subject.image()).await.expect("the image is here");
    let env = [("COLOR", "teal"), ("CODE", "3")];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let run = OneOff { env, ..one_off(subject, &["say", "hé  llo"]) };
    subject.will_finish(&ProcessResult { exit_code: 3, output: "hé  llo teal\nthat was all\n".to_owned() });

    let finished = engine.run(&run).await.expect("it runs");

    assert_eq!(finished.exit_code, 3);
    let mut lines: Vec<_> = finished.output.lines().collect();
    // The two streams are not ordered with one another.
    lines.sort_unstable();
    assert_eq!(lines, ["hé  llo teal", "that was all"]);
    assert_eq!(engine.pods(&app()).await.expect("reachable"), []);
}

/// The first line of the app's log is that of a process which came later.
pub async fn output_of_a_one_off_process_is_not_in_the_log(subject: &dyn RealSubject) {
    let engine = subject.engine();
    engine.keep(&app(), &subject.image()).await.expect("the image is here");
    let mut lines_of_app = subject.log_source().follow(BTreeMap::new());

    let finished = engine.run(&one_off(subject, &["say", "hello"])).await.expect("it runs");

    deploy_well(&engine, &with_env(web(subject, 2), "LINES", "1")).await;
    assert!(finished.output.contains("hello"), "{}", finished.output);
    assert_eq!(next(&mut lines_of_app).await.text, "line 0");
}

/// Otherwise anyone who may deploy has rights by `deis run` that no replica has.
pub async fn a_one_off_process_has_no_more_rights_than_a_replica(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;
    engine.keep(&app(), &subject.image()).await.expect("the image is here");

    let of_replica = get(only_backend(&engine).await.address, "/rights").await.expect("it answers");
    let of_one_off = engine.run(&one_off(subject, &["rights"])).await.expect("it runs").output;

    assert_eq!(of_one_off.trim(), of_replica.trim());
    assert!(of_replica.ends_with("NoNewPrivs:\t1"), "{of_replica}");
}

fn one_off(subject: &dyn Subject, args: &[&str]) -> OneOff {
    OneOff {
        name: "blog-run-ab12c".to_owned(),
        args: Some(args.iter().map(|word| (*word).to_owned()).collect()),
        deadline_seconds: 30,
        ..builds::one_off(&app(), subject.image())
    }
}
