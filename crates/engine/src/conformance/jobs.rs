//! Promises of one-off processes.

use std::collections::BTreeMap;

use domain::build::{Finished, OneOff};
use domain::deployment::Limits;

use super::Subject;
use super::setting::*;

pub async fn a_one_off_process_gives_its_output_and_exit_code(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.keep(&app(), &subject.image()).await.expect("the image is here");
    let env = [("COLOR", "teal"), ("CODE", "3")];
    let run = OneOff {
        app: app(),
        name: "blog-run-ab12c".to_owned(),
        release: 2,
        image: subject.image(),
        command: None,
        args: Some(["say", "hé  llo"].map(str::to_owned).to_vec()),
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        limits: Limits::default(),
        tags: BTreeMap::new(),
        pull_policy: None,
        knows_address: false,
        deadline_seconds: 30,
    };
    subject.will_finish(&Finished { exit_code: 3, output: "hé  llo teal\nthat was all\n".to_owned() });

    let finished = engine.run(&run).await.expect("it runs");

    assert_eq!(finished.exit_code, 3);
    let mut lines: Vec<_> = finished.output.lines().collect();
    // The two streams are not ordered with one another.
    lines.sort_unstable();
    assert_eq!(lines, ["hé  llo teal", "that was all"]);
    assert_eq!(engine.pods(&app()).await.expect("reachable"), []);
}
