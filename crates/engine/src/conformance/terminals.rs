//! Promises of sessions. The image's program, as `sit`, answers each line that is typed.

use std::time::Duration;

use bytes::Bytes;
use domain::AppName;
use domain::build::OneOff;
use domain::deployment::Limits;
use domain::terminal::TerminalSize;
use testkit::wait_until;

use super::setting::*;
use super::{AnyEngine, Subject};
use crate::{Input, JobError, Output, PodCommand, Session};

/// Longest wait for what a session says.
const TIMEOUT: Duration = Duration::from_secs(60);
const SIZE: TerminalSize = TerminalSize { columns: 100, rows: 30 };

/// A user of a session.
pub struct TerminalUser {
    session: Session,
    seen: String,
}

impl TerminalUser {
    /// A user who has seen nothing yet.
    pub fn new(session: Session) -> Self {
        Self { session, seen: String::new() }
    }

    /// Sends input; the session must not have ended.
    pub async fn send(&self, input: Input) {
        self.session.input.send(input).await.expect("the session goes on");
    }

    /// Types a line.
    pub async fn types(&self, line: &str) {
        self.send(Input::Bytes(Bytes::from(format!("{line}\n")))).await;
    }

    /// Reads until the output contains this text.
    pub async fn sees(&mut self, text: &str) {
        while !self.seen.contains(text) {
            if let Err(ended) = self.reads().await {
                panic!("{text:?} is missing in {:?}, which ended with {ended:?}", self.seen);
            }
        }
        let end = self.seen.find(text).map_or(0, |start| start + text.len());
        self.seen.drain(..end);
    }

    /// The rest of a line.
    async fn line(&mut self) -> String {
        while !self.seen.contains('\n') {
            self.reads().await.expect("the session goes on");
        }
        let line = self.seen.lines().next().unwrap_or_default().to_owned();
        self.sees("\n").await;
        line
    }

    /// Asks until the terminal has this size: nobody says when one has arrived.
    async fn has_size(&mut self, rows_and_columns: &str) {
        wait_until("the size comes", TIMEOUT, async || {
            self.types("size").await;
            self.sees("size: ").await;
            self.line().await == rows_and_columns
        })
        .await;
    }

    /// Reads to the end.
    pub async fn end(mut self) -> (String, Result<i64, JobError>) {
        loop {
            if let Err(ended) = self.reads().await {
                return (self.seen, ended);
            }
        }
    }

    async fn reads(&mut self) -> Result<(), Result<i64, JobError>> {
        let read = tokio::time::timeout(TIMEOUT, self.session.output.recv()).await;
        match read.unwrap_or_else(|_| panic!("nothing comes after {:?}", self.seen)) {
            Some(Output::Stdout(bytes) | Output::Stderr(bytes)) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
                Ok(())
            }
            Some(Output::Ended(ended)) => Err(ended),
            None => panic!("a session ends with a word"),
        }
    }
}

fn command() -> Vec<String> {
    ["/app", "sit"].map(str::to_owned).to_vec()
}

/// A one-off process that answers its input.
pub fn sitting(subject: &dyn Subject) -> OneOff {
    OneOff {
        app: app(),
        name: format!("blog-run-{:05x}", rand::random::<u32>() >> 12),
        release: 2,
        image: subject.image(),
        command: Some(command()),
        args: None,
        env: [("COLOR".to_owned(), "teal".to_owned())].into(),
        user: None,
        limits: Limits::default(),
        tags: Default::default(),
        pull_policy: None,
        knows_address: false,
        deadline_seconds: 120,
    }
}

fn inside(app: &AppName, pod: &str) -> PodCommand {
    let (app, pod) = (app.clone(), pod.to_owned());
    PodCommand { app, pod, command: command(), term: "vt100".to_owned(), deadline_seconds: 120 }
}

async fn started(subject: &dyn Subject, terminal: Option<TerminalSize>) -> TerminalUser {
    let engine = subject.engine();
    engine.keep(&app(), &subject.image()).await.expect("the image is here");
    TerminalUser::new(engine.open(sitting(subject), terminal))
}

/// Input reaches the process, output the user, and the exit code ends the session.
pub async fn a_session_answers_what_is_typed_and_ends_with_its_exit_code(subject: &dyn Subject) {
    let mut typist = started(subject, Some(SIZE)).await;

    typist.types("hello").await;
    typist.sees("got: hello\r\n").await;
    typist.types("env COLOR").await;
    typist.sees("env: teal\r\n").await;
    typist.types("exit 7").await;

    let (_, ended) = typist.end().await;
    assert!(matches!(ended, Ok(7)), "{ended:?}");
}

/// The process sees the first size and later ones.
pub async fn a_session_knows_the_size_of_its_terminal(subject: &dyn Subject) {
    let mut typist = started(subject, Some(SIZE)).await;

    typist.has_size("30 100").await;
    typist.send(Input::Resize(TerminalSize { columns: 77, rows: 22 })).await;
    typist.has_size("22 77").await;
}

/// Without a terminal, the end of the input reaches the process.
pub async fn input_through_a_pipe_has_an_end(subject: &dyn Subject) {
    let typist = started(subject, None).await;

    typist.types("size").await;
    typist.types("one").await;
    typist.send(Input::End).await;

    let (seen, ended) = typist.end().await;
    assert_eq!(seen, "size: none\ngot: one\nend of input\n");
    assert!(matches!(ended, Ok(0)), "{ended:?}");
}

/// Else a dump or an archive that is written to a file is spoilt.
pub async fn a_session_passes_on_every_byte_as_it_is(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.keep(&app(), &subject.image()).await.expect("the image is here");
    let command = Some(["/app", "bytes"].map(str::to_owned).to_vec());
    let mut session = engine.open(OneOff { command, ..sitting(subject) }, None);

    let mut seen = Vec::new();
    let ended = loop {
        let read = tokio::time::timeout(TIMEOUT, session.output.recv()).await.expect("in time");
        match read.expect("a session ends with a word") {
            Output::Stdout(bytes) | Output::Stderr(bytes) => seen.extend_from_slice(&bytes),
            Output::Ended(ended) => break ended,
        }
    };

    assert!(matches!(ended, Ok(0)), "{ended:?}");
    assert_eq!(seen, (0..=u8::MAX).chain(*b"\r\nno line end").collect::<Vec<_>>());
}

/// A command in a pod has the variables and a terminal of its own.
pub async fn a_command_in_a_pod_has_the_environment_of_its_release(subject: &dyn Subject) {
    let engine = subject.engine();
    let pod = deployed(subject, &engine).await;
    let mut typist = TerminalUser::new(engine.open_inside(inside(&app(), &pod), Some(SIZE)));

    typist.types("env RELEASE").await;
    typist.sees("env: release 1\r\n").await;
    typist.has_size("30 100").await;
    typist.types("exit 9").await;

    let (_, ended) = typist.end().await;
    assert!(matches!(ended, Ok(9)), "{ended:?}");
}

/// A pod of another app, an unknown one, and a name that is a path are all refused.
pub async fn a_pod_of_another_app_is_refused(subject: &dyn Subject) {
    let engine = subject.engine();
    let pod = deployed(subject, &engine).await;
    let other = AppName::parse("other").expect("a good name");

    for (app, pod) in [(&other, pod.as_str()), (&app(), "blog-web-0000000000-00000"), (&app(), "../x")] {
        let (_, ended) = TerminalUser::new(engine.open_inside(inside(app, pod), None)).end().await;
        assert!(matches!(ended, Err(JobError::Refused { .. })), "{app} {pod}: {ended:?}");
    }
}

/// A dropped session leaves no process in the pod.
pub async fn a_command_in_a_pod_ends_with_its_session(subject: &dyn Subject) {
    let engine = subject.engine();
    let pod = deployed(subject, &engine).await;
    let mut typist = TerminalUser::new(engine.open_inside(inside(&app(), &pod), Some(SIZE)));
    typist.types("hello").await;
    typist.sees("got: hello").await;

    drop(typist);

    wait_until("the command of the first session ends", TIMEOUT, async || {
        let mut another = TerminalUser::new(engine.open_inside(inside(&app(), &pod), None));
        another.types("others").await;
        another.sees("others: ").await;
        another.send(Input::End).await;
        another.end().await.0.starts_with("0\n")
    })
    .await;
}

async fn deployed(subject: &dyn Subject, engine: &std::sync::Arc<dyn AnyEngine>) -> String {
    deploy_well(engine, &web(subject, 1)).await;
    names(engine).await.first().expect("one runs").clone()
}
