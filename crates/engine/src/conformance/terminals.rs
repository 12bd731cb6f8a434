//! Promises of sessions. The image's program, as `sit`, answers each line that is typed.

use std::time::Duration;

use bytes::Bytes;
use domain::AppName;
use domain::build::OneOff;
use domain::deployment::Limits;
use domain::terminal::TerminalSize;

use super::setting::*;
use super::{AnyEngine, Subject};
use crate::{Input, Inside, JobError, Output, Session};

/// Longest wait for what a session says.
const PATIENCE: Duration = Duration::from_secs(60);
const SIZE: TerminalSize = TerminalSize { columns: 100, rows: 30 };

/// Somebody in front of a session.
pub struct Typist {
    session: Session,
    seen: String,
}

impl Typist {
    pub fn new(session: Session) -> Self {
        Self { session, seen: String::new() }
    }

    pub async fn send(&self, input: Input) {
        self.session.input.send(input).await.expect("the session goes on");
    }

    pub async fn types(&self, line: &str) {
        self.send(Input::Bytes(Bytes::from(format!("{line}\n")))).await;
    }

    /// Reads until this was said.
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
        let asking = async {
            loop {
                self.types("size").await;
                self.sees("size: ").await;
                if self.line().await == rows_and_columns {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("the size never comes");
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
        let read = tokio::time::timeout(PATIENCE, self.session.output.recv()).await;
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

/// A one-off process that answers what is typed.
pub fn sitting(subject: &dyn Subject) -> OneOff {
    OneOff {
        app: app(),
        name: format!("blog-run-{:05x}", rand::random::<u32>() >> 12),
        release: 2,
        image: subject.image(),
        command: Some(command()),
        args: None,
        env: [("COLOR".to_owned(), "teal".to_owned())].into(),
        limits: Limits::default(),
        tags: Default::default(),
        pull_policy: None,
        knows_address: false,
        deadline_seconds: 120,
    }
}

fn inside(app: &AppName, pod: &str) -> Inside {
    let (app, pod) = (app.clone(), pod.to_owned());
    Inside { app, pod, command: command(), term: "vt100".to_owned(), deadline_seconds: 120 }
}

async fn started(subject: &dyn Subject, terminal: Option<TerminalSize>) -> Typist {
    let engine = subject.engine();
    engine.keep(&app(), &subject.image()).await.expect("the image is here");
    Typist::new(engine.open(sitting(subject), terminal))
}

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

pub async fn a_session_knows_the_size_of_its_terminal(subject: &dyn Subject) {
    let mut typist = started(subject, Some(SIZE)).await;

    typist.has_size("30 100").await;
    typist.send(Input::Resize(TerminalSize { columns: 77, rows: 22 })).await;
    typist.has_size("22 77").await;
}

pub async fn input_through_a_pipe_has_an_end(subject: &dyn Subject) {
    let typist = started(subject, None).await;

    typist.types("size").await;
    typist.types("one").await;
    typist.send(Input::End).await;

    let (seen, ended) = typist.end().await;
    assert_eq!(seen, "size: none\ngot: one\nend of input\n");
    assert!(matches!(ended, Ok(0)), "{ended:?}");
}

pub async fn a_command_in_a_pod_has_the_environment_of_its_release(subject: &dyn Subject) {
    let engine = subject.engine();
    let pod = deployed(subject, &engine).await;
    let mut typist = Typist::new(engine.open_inside(inside(&app(), &pod), Some(SIZE)));

    typist.types("env RELEASE").await;
    typist.sees("env: release 1\r\n").await;
    typist.has_size("30 100").await;
    typist.types("exit 9").await;

    let (_, ended) = typist.end().await;
    assert!(matches!(ended, Ok(9)), "{ended:?}");
}

pub async fn a_pod_of_another_app_is_refused(subject: &dyn Subject) {
    let engine = subject.engine();
    let pod = deployed(subject, &engine).await;
    let other = AppName::parse("other").expect("a good name");

    for (app, pod) in [(&other, pod.as_str()), (&app(), "blog-web-0000000000-00000"), (&app(), "../x")] {
        let (_, ended) = Typist::new(engine.open_inside(inside(app, pod), None)).end().await;
        assert!(matches!(ended, Err(JobError::Refused { .. })), "{app} {pod}: {ended:?}");
    }
}

pub async fn a_command_in_a_pod_ends_with_its_session(subject: &dyn Subject) {
    let engine = subject.engine();
    let pod = deployed(subject, &engine).await;
    let mut typist = Typist::new(engine.open_inside(inside(&app(), &pod), Some(SIZE)));
    typist.types("hello").await;
    typist.sees("got: hello").await;

    drop(typist);

    let gone = async {
        loop {
            let mut another = Typist::new(engine.open_inside(inside(&app(), &pod), None));
            another.types("others").await;
            another.sees("others: ").await;
            another.send(Input::End).await;
            if another.end().await.0.starts_with("0\n") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the command of the first session runs on");
}

async fn deployed(subject: &dyn Subject, engine: &std::sync::Arc<dyn AnyEngine>) -> String {
    deploy_well(engine, &web(subject, 1)).await;
    names(engine).await.first().expect("one runs").clone()
}
