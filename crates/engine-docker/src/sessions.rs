//! Sessions on Docker: interactive one-off processes and commands inside replicas.
//!
//! Connections that become a stream use Docker's API directly (`wire`): terminal output may look like one of Docker's
//! frames, which the client library would parse.

mod inside;
mod one_off;
mod orphans;
mod wire;

use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use bollard::Docker;
use bollard::errors::Error;
use bollard::exec::ResizeExecOptions;
use bollard::query_parameters::ResizeContainerTTYOptionsBuilder;
use domain::build::OneOff;
use domain::terminal::TerminalSize;

use super::DockerEngine;
use engine::session::{END_OF_INPUT, SessionChannels};
use engine::{Input, PodCommand, Session, Terminals};
use wire::RawConnection;

pub use orphans::end_orphans;

/// Pauses between attempts to set the size of a new terminal.
const SIZE_RETRIES: ConstantBuilder =
    ConstantBuilder::new().with_delay(Duration::from_millis(50)).with_max_times(19);

impl Terminals for DockerEngine {
    fn open(&self, run: OneOff, terminal: Option<TerminalSize>) -> Session {
        let engine = self.clone();
        Session::begin(run.deadline_seconds, async move |ends| {
            one_off::run(&engine, &run, terminal, ends).await
        })
    }

    fn open_inside(&self, inside: PodCommand, terminal: Option<TerminalSize>) -> Session {
        let engine = self.clone();
        Session::begin(inside.deadline_seconds, async move |ends| {
            inside::run(&engine, &inside, terminal, ends).await
        })
    }
}

/// Owner of the terminal.
enum ResizeTarget<'a> {
    Container(&'a str),
    Command(&'a str),
}

impl ResizeTarget<'_> {
    /// Gives the terminal its size. Docker answers before a command has begun, so a refusal may be too early.
    async fn first_size(&self, docker: &Docker, size: TerminalSize) {
        let resized = (|| self.resize(docker, size)).retry(SIZE_RETRIES).await;
        _ = resized.inspect_err(|error| tracing::debug!(%error, "a terminal has no size"));
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

/// Relays both directions until the process ends its output.
async fn carry(
    wire: RawConnection,
    terminal: Option<TerminalSize>,
    ends: &mut SessionChannels,
    docker: &Docker,
    front: ResizeTarget<'_>,
) -> Result<(), Error> {
    let SessionChannels { input, output } = ends;
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
