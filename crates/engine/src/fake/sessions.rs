//! Sessions in memory: input is answered as `sit` of `tests/program/app.rs` does.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::build::OneOff;
use domain::terminal::TerminalSize;

use super::FakeEngine;
use crate::session::SessionChannels;
use crate::{Input, JobError, Output, PodCommand, Session, Terminals};

impl Terminals for FakeEngine {
    fn open(&self, run: OneOff, terminal: Option<TerminalSize>) -> Session {
        let engine = self.clone();
        Session::begin(run.deadline_seconds, async move |ends| {
            let (env, is_bytes) = (
                run.env.clone(),
                run.command.iter().flatten().next_back().is_some_and(|word| word == "bytes"),
            );
            engine.reachable("run")?.calls.runs.push(run);
            if is_bytes {
                _ = ends.output.send(Output::Stdout(Bytes::from_owner(every_byte()))).await;
                return Ok(0);
            }
            sit(&engine, env, terminal, ends).await
        })
    }

    fn open_inside(&self, inside: PodCommand, terminal: Option<TerminalSize>) -> Session {
        let engine = self.clone();
        Session::begin(inside.deadline_seconds, async move |ends| {
            let env = {
                let mut state = engine.reachable("run inside a pod")?;
                let mut of_app = state.apps.iter().filter(|(id, _)| id.app == inside.app);
                let found =
                    of_app.find(|(_, workload)| workload.pods.iter().any(|pod| pod.name == inside.pod));
                let reason = format!("no pod {} of {} runs", inside.pod, inside.app);
                let (_, workload) = found.ok_or(JobError::Refused { reason })?;
                let env =
                    workload.desired.wanted.as_ref().map(|wanted| wanted.env.clone()).unwrap_or_default();
                state.calls.inside.push(inside);
                env
            };
            sit(&engine, env, terminal, ends).await
        })
    }
}

/// Output of the program for `bytes`.
fn every_byte() -> Vec<u8> {
    (0..=u8::MAX).chain(*b"\r\nno line end").collect()
}

/// Counts a session that is ended in the middle.
struct SessionCounter(Option<FakeEngine>);

impl Drop for SessionCounter {
    fn drop(&mut self) {
        if let Some(engine) = self.0.take() {
            engine.state().calls.hung_up += 1;
        }
    }
}

async fn sit(
    engine: &FakeEngine,
    env: BTreeMap<String, String>,
    mut terminal: Option<TerminalSize>,
    mut ends: SessionChannels,
) -> Result<i64, JobError> {
    let mut hung_up = SessionCounter(Some(engine.clone()));
    let mut typed = Vec::new();
    let is_terminal = terminal.is_some();
    let say = async |text: String| {
        let end = if is_terminal { "\r\n" } else { "\n" };
        _ = ends.output.send(Output::Stdout(format!("{text}{end}").into())).await;
    };
    let code = loop {
        match ends.input.recv().await {
            Some(Input::Resize(size)) => terminal = terminal.map(|_| size),
            Some(Input::End) => {
                say("end of input".to_owned()).await;
                break 0;
            }
            None => std::future::pending().await,
            Some(Input::Bytes(bytes)) => typed.extend_from_slice(&bytes),
        }
        let mut ended = None;
        while let Some(end) = typed.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let line: Vec<_> = typed.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            match line.split_once(' ').unwrap_or((&line, "")) {
                ("size", _) => {
                    let size =
                        terminal.map_or("none".to_owned(), |size| format!("{} {}", size.rows, size.columns));
                    say(format!("size: {size}")).await;
                }
                ("env", name) => say(format!("env: {}", env.get(name).map_or("", String::as_str))).await,
                ("exit", code) => ended = Some(code.parse().unwrap_or(1)),
                _ => say(format!("got: {line}")).await,
            }
        }
        if let Some(code) = ended {
            break code;
        }
    };
    hung_up.0 = None;
    Ok(code)
}
