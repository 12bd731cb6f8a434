//! One-off processes of an app's own image, here the stack.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use domain::build::OneOff;
use domain::deployment::Limits;
use domain::{AppName, Image};

use super::{BuildLimits, BuildSubject, nothing_is_left, one_off};
use crate::{JobError, Jobs as _};

/// A script in the stack image.
pub fn shell(app: &AppName, image: &Image, script: &str) -> OneOff {
    let command = Some(vec!["/bin/bash".to_owned(), "-c".to_owned()]);
    OneOff { command, args: Some(vec![script.to_owned()]), ..one_off(app, image.clone()) }
}

/// Its command takes the place of the image's.
pub async fn a_one_off_process_with_its_own_command_leaves_nothing<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let app = subject.new_app();
    let image = subject.stack_of(&app).await;

    let mut run = shell(&app, &image, "echo to $COLOR; echo err >&2; exit 3");
    run.env.insert("COLOR".to_owned(), "teal".to_owned());
    let finished = subject.jobs().run(&run).await.expect("it runs");

    assert_eq!(finished.exit_code, 3);
    assert!(finished.output.contains("to teal\n") && finished.output.contains("err\n"), "{finished:?}");
    nothing_is_left(&subject).await;
}

/// Exit code 127, as users know it.
pub async fn a_program_that_does_not_exist_ends_as_in_a_shell<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let app = subject.new_app();
    let image = subject.stack_of(&app).await;

    let missing =
        OneOff { command: Some(vec!["/no/such/program".to_owned()]), ..one_off(&app, image.clone()) };
    for run in [missing, shell(&app, &image, "/no/such/program")] {
        let finished = subject.jobs().run(&run).await.expect("it ends");
        assert_eq!(finished.exit_code, 127, "{finished:?}");
        assert!(finished.output.contains("No such file or directory"), "{finished:?}");
    }
    nothing_is_left(&subject).await;
}

/// It ends at its deadline, is told its memory limit, and runs on no node without its tags.
pub async fn a_one_off_process_is_bounded_in_time_memory_and_place<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let app = subject.new_app();
    let image = subject.stack_of(&app).await;
    // The image is where it runs from now on.
    subject.jobs().run(&shell(&app, &image, "true")).await.expect("it runs");

    let slow = OneOff { deadline_seconds: 4, ..shell(&app, &image, "sleep 600") };
    let slow = subject.jobs().run(&slow).await;
    assert!(matches!(slow, Err(JobError::TimedOut { seconds: 4 })), "{slow:?}");

    let limits = Limits { memory_limit_bytes: Some(32 << 20), ..Limits::default() };
    let hungry = OneOff { limits, ..shell(&app, &image, "python3 -c 'x = bytearray(100_000_000)'") };
    let hungry = subject.jobs().run(&hungry).await.expect("it ends");
    assert_ne!(hungry.exit_code, 0);
    assert!(hungry.output.contains("needed more than 32 MB"), "{hungry:?}");

    let tags = BTreeMap::from([("no-such-label".to_owned(), "x".to_owned())]);
    let elsewhere = subject.jobs().run(&OneOff { tags, ..shell(&app, &image, "true") }).await;
    let reason = elsewhere.expect_err("no node fits").to_string();
    assert!(reason.contains("no node has") && reason.contains("no-such-label=x"), "{reason}");
    nothing_is_left(&subject).await;
}

/// In `POD_IP`, where the app asks for it.
pub async fn a_one_off_process_knows_its_address_where_it_is_told<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let app = subject.new_app();
    let image = subject.stack_of(&app).await;
    let script = "echo \"${POD_IP:-unknown}\"; hostname -i";

    let knowing = OneOff { knows_address: true, ..shell(&app, &image, script) };
    let knowing = subject.jobs().run(&knowing).await.expect("it runs").output;
    let other = subject.jobs().run(&shell(&app, &image, script)).await.expect("it runs").output;

    let lines: Vec<_> = knowing.lines().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "{knowing}");
    assert!(lines[0].parse::<Ipv4Addr>().is_ok(), "{knowing}");
    assert!(other.starts_with("unknown\n"), "{other}");
}
