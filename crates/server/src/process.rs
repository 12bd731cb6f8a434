//! One process of the platform: its signals, its parts, and how it ends.
//!
//! TERM or INT asks all parts to drain, within a bound. A part that ends early ends the process, for a
//! supervisor to start again.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Runs `serve` to its end on a runtime of its own.
pub fn run(serve: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve);
    // A blocking task that hangs (a password, a hook call) must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// The parts that run as tasks, and what tells them to end.
pub struct Process {
    stop_signals: StopSignals,
    shutdown: watch::Sender<bool>,
    parts: JoinSet<(&'static str, anyhow::Result<()>)>,
    /// Signals that came before the parts ran.
    is_stopped: bool,
}

impl Process {
    /// Listens for signals from here on.
    pub fn new() -> anyhow::Result<Self> {
        let (shutdown, _) = watch::channel(false);
        Ok(Self { stop_signals: StopSignals::listen()?, shutdown, parts: JoinSet::new(), is_stopped: false })
    }

    /// Turns true when the parts are to end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.shutdown.subscribe()
    }

    /// Waits for what must be there before the parts can run; `None` when a signal came first.
    pub async fn start<T>(
        &mut self,
        starting: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Option<T>> {
        tokio::select! {
            started = starting => started.map(Some),
            () = self.stop_signals.next() => {
                self.is_stopped = true;
                Ok(None)
            }
        }
    }

    pub fn add<E>(&mut self, name: &'static str, part: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<anyhow::Error>,
    {
        self.parts.spawn(async move { (name, part.await.map_err(Into::into)) });
    }

    /// Adds a part that ends without a result.
    pub fn add_plain(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.add(name, async move {
            part.await;
            anyhow::Ok(())
        });
    }

    /// Adds a part that is a thread; `join` waits for its end.
    pub fn add_thread(&mut self, name: &'static str, join: impl FnOnce() + Send + 'static) {
        self.add(name, async move { tokio::task::spawn_blocking(join).await });
    }

    /// Runs until a signal comes or a part ends, then drains within `stop_timeout`.
    pub async fn run(mut self, stop_timeout: Duration) -> anyhow::Result<()> {
        let failed = tokio::select! {
            () = self.stop_signals.next(), if !self.is_stopped => None,
            failed = first_end(&mut self.parts), if !self.is_stopped => Some(failed),
            else => None,
        };
        tracing::info!("stopping");
        self.shutdown.send_replace(true);
        if tokio::time::timeout(stop_timeout, all_ended(&mut self.parts)).await.is_err() {
            tracing::warn!("not everything ended within {stop_timeout:?}; ending all the same");
        }
        failed.map_or(Ok(()), Err)
    }
}

async fn first_end(parts: &mut JoinSet<(&'static str, anyhow::Result<()>)>) -> anyhow::Error {
    match parts.join_next().await {
        Some(Ok((name, Err(error)))) => error.context(format!("the {name} failed")),
        Some(Ok((name, Ok(())))) => anyhow::anyhow!("the {name} ended by itself"),
        Some(Err(error)) => anyhow::Error::new(error).context("a part of the platform panicked"),
        None => anyhow::anyhow!("nothing runs"),
    }
}

async fn all_ended(parts: &mut JoinSet<(&'static str, anyhow::Result<()>)>) {
    while let Some(ended) = parts.join_next().await {
        if let Ok((name, Err(error))) = ended {
            tracing::warn!("the {name} did not stop well: {error:#}");
        }
    }
}

/// Ends when the process is to stop.
pub async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A closed channel means that whoever could stop us is gone.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Binds a listener; `flag` is the setting that a person would change.
pub async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let taken =
        || format!("{flag}: cannot listen on {address}: choose another address or stop what holds it");
    TcpListener::bind(address).await.with_context(taken)
}

/// TERM and INT, whichever comes.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}
