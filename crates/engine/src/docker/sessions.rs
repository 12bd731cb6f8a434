//! Sessions on Docker: one-off processes and commands inside replicas, with somebody in front of them.
//!
//! Docker is spoken to directly where a connection becomes a stream (`wire`): what a terminal prints may look
//! like a frame of Docker's, and the client library would take it for one.

mod inside;
mod one_off;
mod strays;
mod wire;

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::ResizeExecOptions;
use bollard::query_parameters::ResizeContainerTTYOptionsBuilder;
use domain::build::OneOff;
use domain::terminal::TerminalSize;

use super::DockerEngine;
use crate::session::{END_OF_INPUT, Ends};
use crate::{Input, Inside, Session, Terminals};
use wire::Wire;

pub use strays::end_strays;

/// How often a new terminal is given its size, and the pause in between.
const SIZE_TRIES_MAX: usize = 20;
const SIZE_PAUSE: Duration = Duration::from_millis(50);

impl Terminals for DockerEngine {
    fn open(&self, run: OneOff, terminal: Option<TerminalSize>) -> Session {
        let engine = self.clone();
        Session::begin(run.deadline_seconds, async move |ends| {
            one_off::run(&engine, &run, terminal, ends).await
        })
    }

    fn open_inside(&self, inside: Inside, terminal: Option<TerminalSize>) -> Session {
        let engine = self.clone();
        Session::begin(inside.deadline_seconds, async move |ends| {
            inside::run(&engine, &inside, terminal, ends).await
        })
    }
}

/// Whose terminal it is.
enum Front<'a> {
    Container(&'a str),
    Command(&'a str),
}

impl Front<'_> {
    /// Gives the terminal its size. Docker answers before a command has begun, so a refusal may be too early.
    async fn first_size(&self, docker: &Docker, size: TerminalSize) {
        for _ in 0..SIZE_TRIES_MAX {
            match self.resize(docker, size).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "a terminal has no size yet"),
            }
            tokio::time::sleep(SIZE_PAUSE).await;
        }
    }

    async fn resize(&self, docker: &Docker, size: TerminalSize) -> Result<(), Error> {
        let TerminalSize { columns, rows } = size;
        match self {
            Self::Container(id) => {
                let options = ResizeContainerTTYOptionsBuilder::default().h(rows.into()).w(columns.into());
                docker.resize_container_tty(id, options.build()).await
            }
            Self::Command(id) => {
                docker.resize_exec(id, ResizeExecOptions { height: rows, width: columns }).await
            }
        }
    }
}

/// Carries both ways until the process says nothing more.
async fn carry(
    wire: Wire,
    terminal: Option<TerminalSize>,
    ends: &mut Ends,
    docker: &Docker,
    front: Front<'_>,
) -> Result<(), Error> {
    let Ends { input, output } = ends;
    let has_terminal = terminal.is_some();
    let (mut said, mut typed) = wire.split();
    let sending = async {
        if let Some(size) = terminal {
            front.first_size(docker, size).await;
        }
        while let Some(input) = input.recv().await {
            let sent = match input {
                Input::Bytes(bytes) => typed.send(&bytes).await,
                Input::End if has_terminal => typed.send(END_OF_INPUT).await,
                Input::End => typed.end().await,
                Input::Resize(size) => {
                    // Fails where the process has just ended.
                    _ = front.resize(docker, size).await;
                    Ok(())
                }
            };
            if sent.is_err() {
                // The process reads no more; it may still have something to say.
                break;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        ended = said.forward(has_terminal, output) => ended,
        never = sending => never,
    }
}
