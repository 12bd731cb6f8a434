//! One process of the platform: its signals, its parts, and how it ends.
//!
//! TERM or INT asks all parts to drain, within a bound. HUP does so to start the program anew in place, with the
//! sockets of the edge: that drains last and serves until then. A part that ends early ends the process, for a
//! supervisor to start again.

use std::future::Future;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::handover::Sockets;

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

/// The parts that run as tasks, and their stop signals.
pub struct Process {
    stop_signals: StopSignals,
    shutdown: watch::Sender<bool>,
    parts: RoleTasks,
    /// The router, the last part to end before a restart.
    edge: RoleTasks,
    leaving: watch::Sender<bool>,
    restarting: Arc<AtomicBool>,
    /// Sockets for the next program.
    sockets: Sockets,
    /// Asks for it; without, HUP does what it does to any program.
    hung_up: Option<Signal>,
    /// Signals that came before the parts ran.
    is_stopped: bool,
}

impl Process {
    /// A process that HUP starts anew with what is in its `sockets`; at a terminal HUP means that this is closed.
    pub fn restartable() -> anyhow::Result<Self> {
        if std::io::stdin().is_terminal() {
            return Self::new();
        }
        let hung_up = signal(SignalKind::hangup()).context("cannot listen for signals")?;
        Ok(Self { hung_up: Some(hung_up), ..Self::new()? })
    }

    /// Listens for signals from here on.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            stop_signals: StopSignals::listen()?,
            shutdown: watch::Sender::new(false),
            parts: JoinSet::new(),
            edge: JoinSet::new(),
            leaving: watch::Sender::new(false),
            restarting: Arc::default(),
            sockets: Sockets::default(),
            hung_up: None,
            is_stopped: false,
        })
    }

    /// Turns true when the parts are to end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.shutdown.subscribe()
    }

    /// Turns true when the edge is to end.
    pub fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Turns true before that, where the next program waits for the end.
    pub fn restarting(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.restarting)
    }

    /// Sockets to hand over to the next program.
    pub fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
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

    /// Adds a part of the edge that ends without a result.
    pub fn add_to_edge(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.edge.spawn(async move {
            part.await;
            (name, Ok(()))
        });
    }

    /// Adds a part of the edge that is a thread; `join` waits for its end.
    pub fn add_thread_to_edge(&mut self, name: &'static str, join: impl FnOnce() + Send + 'static) {
        self.edge.spawn(async move { (name, tokio::task::spawn_blocking(join).await.map_err(Into::into)) });
    }

    /// Runs until a signal comes or a part ends, then drains within `stop_timeout`.
    pub async fn run(mut self, stop_timeout: Duration) -> anyhow::Result<()> {
        let end = tokio::select! {
            () = self.stop_signals.next(), if !self.is_stopped => ExitReason::Stopped,
            () = hang_up(&mut self.hung_up), if !self.is_stopped => ExitReason::Restart,
            failed = first_end(&mut self.parts), if !self.is_stopped => ExitReason::Failed(failed),
            failed = first_end(&mut self.edge), if !self.is_stopped && !self.edge.is_empty() => ExitReason::Failed(failed),
            else => ExitReason::Stopped,
        };
        if matches!(end, ExitReason::Restart) && self.drained_for_restart(stop_timeout).await {
            tracing::info!("restarting: the program starts anew, with the sockets");
            return Err(self.sockets.restart());
        }
        tracing::info!("stopping");
        // Nobody else takes these over.
        drop(std::mem::take(&mut self.sockets));
        self.shutdown.send_replace(true);
        self.leaving.send_replace(true);
        let all = async { tokio::join!(all_ended(&mut self.parts), all_ended(&mut self.edge)) };
        within(stop_timeout, all).await;
        match end {
            ExitReason::Failed(error) => Err(error),
            ExitReason::Stopped | ExitReason::Restart => Ok(()),
        }
    }

    /// Ends everything, the edge last; `false` where a signal to stop came meanwhile.
    async fn drained_for_restart(&mut self, stop_timeout: Duration) -> bool {
        tracing::info!("restarting: first all but the edge ends");
        let drained = async {
            self.shutdown.send_replace(true);
            within(stop_timeout, all_ended(&mut self.parts)).await;
            self.restarting.store(true, Ordering::Relaxed);
            self.leaving.send_replace(true);
            within(stop_timeout, all_ended(&mut self.edge)).await;
        };
        tokio::select! {
            () = drained => true,
            () = self.stop_signals.next() => false,
        }
    }
}

type RoleTasks = JoinSet<(&'static str, anyhow::Result<()>)>;

/// Reason why a process ends.
enum ExitReason {
    Stopped,
    Restart,
    Failed(anyhow::Error),
}

async fn within<T>(bound: Duration, ended: impl Future<Output = T>) {
    if tokio::time::timeout(bound, ended).await.is_err() {
        tracing::warn!("not everything ended within {bound:?}; ending all the same");
    }
}

async fn hang_up(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

async fn first_end(parts: &mut RoleTasks) -> anyhow::Error {
    match parts.join_next().await {
        Some(Ok((name, Err(error)))) => error.context(format!("the {name} failed")),
        Some(Ok((name, Ok(())))) => anyhow::anyhow!("the {name} ended by itself"),
        Some(Err(error)) => anyhow::Error::new(error).context("a part of the platform panicked"),
        None => anyhow::anyhow!("nothing runs"),
    }
}

async fn all_ended(parts: &mut RoleTasks) {
    while let Some(ended) = parts.join_next().await {
        if let Ok((name, Err(error))) = ended {
            tracing::warn!("the {name} did not stop well: {error:#}");
        }
    }
}

/// Takes over the listener of the program before, or binds one; and keeps it for the next.
pub async fn bind_or_take(
    (inherited, sockets): (&mut Sockets, &mut Sockets),
    name: &str,
    flag: &str,
    address: SocketAddr,
) -> anyhow::Result<TcpListener> {
    let listener = match inherited.take(name, address).pop() {
        Some(listener) => listener,
        None => bind(flag, address).await?.into_std().context("a fresh listener")?,
    };
    sockets.keep(name, [&listener])?;
    TcpListener::from_std(listener).context("cannot take over a socket")
}

/// Ends when the process is to stop.
pub async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A closed channel means that the sender of the stop signal is gone.
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
