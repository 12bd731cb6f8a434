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

use crate::access::AccessLines;
use crate::app_log::AppLog;
use crate::connection::{self, Visit};
use crate::connections::Connections;
use crate::fast::buffer::Buffers;
use crate::fast::line::Line;
use crate::h2c::H2cPool;
use crate::limits::LimitTable;
use crate::metrics::{Connected, WorkerMetrics};
use crate::pool::{Pool, Sender};
use crate::report::Reports;
use crate::table::{Held, InFlight, Table};
use crate::tables::Tables;
use crate::teller::{self, Ear};
use crate::{RouterError, RouterSettings};

/// After a change of the table, workers report this often, so that draining is quick.
const REPORT_EVERY_BUSY: Duration = Duration::from_millis(20);
/// How long after a change that lasts.
const BUSY_FOR: Duration = Duration::from_secs(20);
/// After shutdown was asked for, connections that wait for their next request stay open for so long: it is answered,
/// and its visitor told to come back on another connection.
pub(crate) const LAME_DUCK: Duration = Duration::from_secs(1);
/// How long connections may take to close when nothing is under way any more: more than the last that came have.
const GOODBYE_MAX: Duration = Duration::from_millis(1_500);
/// Otherwise a report is only a sign of life.
const REPORT_EVERY_IDLE: Duration = Duration::from_millis(500);

pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) settings: Arc<RouterSettings>,
    pub(crate) tables: Tables,
    pub(crate) reports: Arc<Reports>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) limits: Arc<LimitTable>,
    /// Another program takes the sockets over: its visitors wait for the end of this one.
    pub(crate) restarting: Arc<AtomicBool>,
    /// Who tells apps of their requests, where somebody does.
    pub(crate) teller: Option<Ear>,
    pub(crate) shutdown: watch::Receiver<bool>,
}

/// The listeners of one worker.
pub(crate) struct Doors {
    pub(crate) plain: std::net::TcpListener,
    /// For HTTPS.
    pub(crate) secure: Option<std::net::TcpListener>,
}

/// What all requests of one worker share; never leaves its thread.
pub(crate) struct Shared {
    pub(crate) settings: Arc<RouterSettings>,
    pub(crate) table: RefCell<Rc<Held>>,
    /// Wakes requests that wait for a backend.
    pub(crate) table_changed: Notify,
    pub(crate) held_requests: Cell<usize>,
    /// Connections to backends of the long way, and of the short one.
    pub(crate) pool: Pool<Sender>,
    pub(crate) lines: Pool<Line<TcpStream>>,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) h2c: H2cPool,
    pub(crate) in_flight: Rc<InFlight>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) limits: Arc<LimitTable>,
    pub(crate) access: AccessLines,
    pub(crate) app_log: Option<Rc<AppLog>>,
    /// Shutdown was asked for.
    pub(crate) is_leaving: Cell<bool>,
}

impl Shared {
    /// Serves by this table from now on.
    fn take_over(&self, table: Arc<Table>) {
        let before = self.table.borrow().version;
        self.pool.keep_only(&table, before);
        self.lines.keep_only(&table, before);
        self.h2c.keep_only(&table, before);
        if !table.has_owners_of(before) {
            self.metrics.keep_only(table.owners());
        }
        self.metrics.note_table(table.routes_new_since(before));
        *self.table.borrow_mut() = Rc::new(Held(table));
    }

    /// Whether a backend that served a host in a table of this version does so still.
    pub(crate) fn still_serves(&self, version: u64, host: &str, backend_key: &str) -> bool {
        let table = self.table.borrow();
        table.version == version || table.site(host).is_some_and(|site| site.has_backend(backend_key))
    }
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
    pub(crate) fn spawn(self, doors: Doors) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let name = format!("router-{}", self.number);
        std::thread::Builder::new().name(name).spawn(move || {
            LocalSet::new().block_on(&runtime, self.run(doors));
        })
    }

    async fn run(mut self, doors: Doors) {
        let listen =
            |listener| TcpListener::from_std(listener).expect("the listener is fresh and nonblocking");
        let (plain, secure) = (listen(doors.plain), doors.secure.map(listen));
        let mut tables = self.tables.clone();
        let first = Arc::clone(&tables.borrow_and_update());
        let shared = Rc::new(Shared {
            settings: Arc::clone(&self.settings),
            table: RefCell::new(Rc::new(Held(first))),
            table_changed: Notify::new(),
            held_requests: Cell::new(0),
            pool: Pool::default(),
            h2c: H2cPool::default(),
            lines: Pool::default(),
            buffers: Rc::default(),
            in_flight: Rc::default(),
            metrics: Arc::clone(&self.metrics),
            limits: Arc::clone(&self.limits),
            access: AccessLines::new(std::io::stderr()),
            app_log: self.teller.take().map(|ear| Rc::new(AppLog::new(ear.batches, ear.lines_max))),
            is_leaving: Cell::new(false),
        });
        let telling = tokio::task::spawn_local(hand_over_lines(shared.app_log.clone()));
        let follower = tokio::task::spawn_local(follow_tables(
            Rc::clone(&shared),
            tables,
            Arc::clone(&self.reports),
            self.number,
        ));
        let connections = Rc::new(Connections::new(self.settings.connections_max));
        let mut shutdown = self.shutdown.clone();
        let stopped = async { drop(shutdown.wait_for(|stop| *stop).await) };
        self.accept(&plain, secure.as_ref(), &shared, &connections, stopped).await;
        shared.is_leaving.set(true);
        let last = tokio::time::timeout(LAME_DUCK, connections.all_closed());
        self.accept(&plain, secure.as_ref(), &shared, &connections, async { drop(last.await) }).await;
        self.close(plain, false, &shared, &connections);
        secure.into_iter().for_each(|secure| self.close(secure, true, &shared, &connections));
        self.drain(&shared, &connections).await;
        follower.abort();
        telling.abort();
    }

    /// Takes connections until the end has come.
    async fn accept(
        &self,
        plain: &TcpListener,
        secure: Option<&TcpListener>,
        shared: &Rc<Shared>,
        connections: &Rc<Connections>,
        end: impl Future<Output = ()>,
    ) {
        let mut end = std::pin::pin!(end);
        loop {
            let next = async {
                connections.room().await;
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
                Ok((stream, peer)) => self.serve(stream, Visit { peer, is_tls }, shared, connections),
                Err(error) => {
                    // Out of file descriptors, mostly: let connections end before trying again.
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn serve(&self, stream: TcpStream, visit: Visit, shared: &Rc<Shared>, connections: &Rc<Connections>) {
        let open = connections.open();
        let connected = Connected::begin(&self.metrics);
        let serving = connection::serve(stream, visit, Rc::clone(shared), self.shutdown.clone());
        tokio::task::spawn_local(async move {
            serving.await;
            drop((open, connected));
        });
    }

    /// Closes a listener. Who waits in its queue would be cut off: they come in first, unless another program has the
    /// listener, too.
    fn close(&self, listener: TcpListener, is_tls: bool, shared: &Rc<Shared>, connections: &Rc<Connections>) {
        if self.restarting.load(Ordering::Relaxed) {
            return;
        }
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.serve(stream, Visit { peer, is_tls }, shared, connections);
            }
        }
    }

    async fn drain(&self, shared: &Rc<Shared>, connections: &Connections) {
        let idle = async {
            while shared.in_flight.total() > shared.in_flight.not_waited_for(&self.restarting) {
                shared.in_flight.changed().await;
            }
            // What has come and not asked yet may do so; what was answered last is on its way out.
            drop(tokio::time::timeout(GOODBYE_MAX, connections.all_closed()).await);
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

/// Gives the lines of requests to the teller from time to time.
async fn hand_over_lines(access: Option<Rc<AppLog>>) {
    let Some(access) = access else { return };
    let mut ticks = tokio::time::interval(teller::EVERY);
    loop {
        ticks.tick().await;
        access.hand_over();
    }
}

async fn follow_tables(shared: Rc<Shared>, mut tables: Tables, reports: Arc<Reports>, number: usize) {
    let mut changed_at = tokio::time::Instant::now();
    loop {
        let version = shared.table.borrow().version;
        reports.put(number, version, shared.in_flight.snapshot());
        let pause = if changed_at.elapsed() < BUSY_FOR { REPORT_EVERY_BUSY } else { REPORT_EVERY_IDLE };
        tokio::select! {
            changed = tables.changed() => {
                if changed.is_err() {
                    // The engine is gone: serve on with the table at hand.
                    return;
                }
                shared.take_over(Arc::clone(&tables.borrow_and_update()));
                shared.table_changed.notify_waiters();
                changed_at = tokio::time::Instant::now();
            }
            () = tokio::time::sleep(pause) => {
                shared.pool.drop_idle();
                shared.h2c.drop_idle();
                shared.lines.drop_idle();
                shared.access.flush();
            }
        }
    }
}
