//! One worker: a thread with a listener, a runtime, a table and a pool of its own.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use super::connection;
use crate::access_log::app_log::AppLog;
use crate::access_log::log_publisher::{self, LogSender};
use crate::access_log::operator_log::AccessLines;
use crate::body::attended::AttendedResponses;
use crate::error::RouterError;
use crate::limits::buffering::Buffering;
use crate::limits::connections::{Connections, WorkerConnections};
use crate::limits::requests::LimitTable;
use crate::metrics::WorkerMetrics;
use crate::phases::caller::ClientConnection;
use crate::settings::RouterSettings;
use crate::state::WorkerState;
use crate::table::TableRef;
use crate::table::report::Reports;
use crate::table::tables::Tables;
use crate::upstream::{Upstreams, is_out_of_files};

/// After a change of the table, workers report this often, so that draining is quick.
const REPORT_EVERY_BUSY: Duration = Duration::from_millis(20);
/// Time for which a change counts as recent.
const BUSY_FOR: Duration = Duration::from_secs(20);
/// Time for which idle connections stay open after shutdown was requested: their next request is answered with
/// `Connection: close`.
pub(crate) const LAME_DUCK: Duration = Duration::from_secs(1);
/// Longest time for connections to close when no request is under way: longer than the last new ones take.
const GOODBYE_MAX: Duration = Duration::from_millis(1_500);
/// Threads that read and write bodies of requests on disk.
const FILE_THREADS_MAX: usize = 8;
/// A warning that repeats is logged this often.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// Between two attempts to take a connection where there are no more files.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(10);
/// Otherwise a report is only a sign of life.
const REPORT_EVERY_IDLE: Duration = Duration::from_millis(500);

pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) settings: Arc<RouterSettings>,
    pub(crate) tables: Tables,
    pub(crate) reports: Arc<Reports>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) limits: Arc<LimitTable>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) buffering: Arc<Buffering>,
    /// Another program takes the sockets over: its clients wait for the end of this one.
    pub(crate) restarting: Arc<AtomicBool>,
    /// Sender to the log publisher, if there is a sink for log lines.
    pub(crate) log_sender: Option<LogSender>,
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// The listeners of one worker.
pub(crate) struct WorkerListeners {
    pub(crate) plain: std::net::TcpListener,
    /// For HTTPS.
    pub(crate) secure: Option<std::net::TcpListener>,
}

/// Binds one listener of several on the same address.
pub(crate) fn bind(address: SocketAddr) -> Result<std::net::TcpListener, RouterError> {
    let bind = || -> std::io::Result<std::net::TcpListener> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        Ok(socket.into())
    };
    bind().map_err(|source| RouterError::Listen { address, source })
}

impl Worker {
    pub(crate) fn spawn(self, listeners: WorkerListeners) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(FILE_THREADS_MAX)
            .build()?;
        let name = format!("router-{}", self.number);
        std::thread::Builder::new().name(name).spawn(move || {
            LocalSet::new().block_on(&runtime, self.run(listeners));
        })
    }

    async fn run(mut self, listeners: WorkerListeners) {
        let listen =
            |listener| TcpListener::from_std(listener).expect("the listener is fresh and nonblocking");
        let (plain, secure) = (listen(listeners.plain), listeners.secure.map(listen));
        let mut tables = self.tables.clone();
        let first = Arc::clone(&tables.borrow_and_update());
        let visitors = WorkerConnections::new(&self.connections);
        let shared = Rc::new(WorkerState {
            settings: Arc::clone(&self.settings),
            table: RefCell::new(Rc::new(TableRef(first))),
            table_changed: Notify::new(),
            held_requests: Cell::new(0),
            upstreams: Upstreams::new(self.settings.connect_timeout, &self.connections, &visitors),
            buffers: Rc::default(),
            in_flight: Rc::default(),
            metrics: Arc::clone(&self.metrics),
            limits: Arc::clone(&self.limits),
            connections: Arc::clone(&self.connections),
            visitors,
            buffering: Arc::clone(&self.buffering),
            answers: AttendedResponses::new(self.settings.send_timeout, self.settings.send_rate),
            access: AccessLines::new(std::io::stderr()),
            app_log: self
                .log_sender
                .take()
                .map(|sender| Rc::new(AppLog::new(sender.batches, sender.lines_max))),
            is_leaving: Cell::new(false),
        });
        let flushing = tokio::task::spawn_local(hand_over_lines(shared.app_log.clone()));
        let follower = tokio::task::spawn_local(follow_tables(
            Rc::clone(&shared),
            tables,
            Arc::clone(&self.reports),
            self.number,
        ));
        let helper = tokio::task::spawn_local(help_others(Rc::clone(&shared), self.number));
        let mut shutdown = self.shutdown.clone();
        let stopped = async { drop(shutdown.wait_for(|stop| *stop).await) };
        self.accept(&plain, secure.as_ref(), &shared, stopped).await;
        shared.is_leaving.set(true);
        let last = tokio::time::timeout(LAME_DUCK, shared.visitors.all_closed());
        self.accept(&plain, secure.as_ref(), &shared, async { drop(last.await) }).await;
        self.close(plain, false, &shared);
        secure.into_iter().for_each(|secure| self.close(secure, true, &shared));
        self.drain(&shared).await;
        helper.abort();
        follower.abort();
        flushing.abort();
    }

    /// Takes connections until the end has come.
    async fn accept(
        &self,
        plain: &TcpListener,
        secure: Option<&TcpListener>,
        shared: &Rc<WorkerState>,
        end: impl Future<Output = ()>,
    ) {
        let mut end = std::pin::pin!(end);
        let mut warned_at: Option<tokio::time::Instant> = None;
        loop {
            let next = async {
                tokio::select! {
                    accepted = plain.accept() => (accepted, false),
                    accepted = accept_on(secure) => (accepted, true),
                }
            };
            let (accepted, is_tls) = tokio::select! {
                next = next => next,
                () = end.as_mut() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let has_ended = tokio::select! {
                        () = shared.visitors.make_room() => false,
                        () = end.as_mut() => true,
                    };
                    self.serve(stream, ClientConnection { peer, is_tls }, shared);
                    if has_ended {
                        return;
                    }
                }
                Err(error) => {
                    if warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                        warned_at = Some(tokio::time::Instant::now());
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "cannot accept a connection"
                        );
                    }
                    if is_out_of_files(&error) {
                        shared.upstreams.make_room_for_files();
                    }
                    tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream, client: ClientConnection, shared: &Rc<WorkerState>) {
        let open = shared.visitors.open();
        let serving =
            connection::serve(stream, client, Rc::clone(shared), open.clone(), self.shutdown.clone());
        open.is_served_by(tokio::task::spawn_local(serving).abort_handle());
    }

    /// Closes a listener, with all handles of its socket. Connections in its queue would be cut off: they are accepted
    /// first, unless another program has the listener, too.
    fn close(&self, listener: TcpListener, is_tls: bool, shared: &Rc<WorkerState>) {
        if self.restarting.load(Ordering::Relaxed) {
            return;
        }
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.serve(stream, ClientConnection { peer, is_tls }, shared);
            }
        }
        // A connection that came to another handle would wait for ever.
        let _ = socket2::SockRef::from(&listener).shutdown(std::net::Shutdown::Both);
    }

    async fn drain(&self, shared: &Rc<WorkerState>) {
        let idle = async {
            while shared.in_flight.total() > shared.in_flight.not_waited_for(&self.restarting) {
                shared.in_flight.changed().await;
            }
            // Connections without a request yet may still send one; the last responses are being sent.
            drop(tokio::time::timeout(GOODBYE_MAX, shared.visitors.all_closed()).await);
        };
        if tokio::time::timeout(self.settings.drain_timeout, idle).await.is_err() {
            tracing::warn!(requests = shared.in_flight.total(), "requests cut off at the end of draining");
        }
    }
}

/// Waits for a connection; for ever where there is no listener.
async fn accept_on(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// Hands the lines of requests to the log publisher from time to time.
async fn hand_over_lines(access: Option<Rc<AppLog>>) {
    let Some(access) = access else { return };
    let mut ticks = tokio::time::interval(log_publisher::EVERY);
    loop {
        ticks.tick().await;
        access.hand_over();
    }
}

/// Ends connections that can go where another worker has no room for one more, in all or of a source.
async fn help_others(shared: Rc<WorkerState>, number: usize) {
    let mut asked = shared.connections.asked();
    loop {
        tokio::select! {
            () = shared.connections.shortage(number) => shared.visitors.shed_for_others(),
            // Those that were missed are asked for again.
            source = asked.recv() => if let Ok(source) = source {
                shared.visitors.shed_for_source(source);
            },
        }
    }
}

async fn follow_tables(shared: Rc<WorkerState>, mut tables: Tables, reports: Arc<Reports>, number: usize) {
    let mut changed_at = tokio::time::Instant::now();
    loop {
        let version = shared.table.borrow().version;
        reports.put(number, version, shared.in_flight.snapshot());
        let pause = if changed_at.elapsed() < BUSY_FOR { REPORT_EVERY_BUSY } else { REPORT_EVERY_IDLE };
        tokio::select! {
            changed = tables.changed() => {
                if changed.is_err() {
                    // The engine is gone: serve on with the current table.
                    return;
                }
                shared.take_over(Arc::clone(&tables.borrow_and_update()));
                shared.table_changed.notify_waiters();
                changed_at = tokio::time::Instant::now();
            }
            () = tokio::time::sleep(pause) => {
                shared.upstreams.drop_idle();
                shared.access.flush();
                shared.answers.drop_stalled();
            }
        }
    }
}
