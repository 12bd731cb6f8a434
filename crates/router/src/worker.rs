//! One worker: a thread with a listener, a runtime, a table and a pool of its own.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use crate::access::AccessLines;
use crate::connection::{self, Visit};
use crate::fast::buffer::Buffers;
use crate::fast::line::Line;
use crate::metrics::{Connected, WorkerMetrics};
use crate::pool::{Pool, Sender};
use crate::report::Reports;
use crate::table::{Held, InFlight, Table};
use crate::tables::Tables;
use crate::{RouterError, RouterSettings};

/// After a change of the table, workers report this often, so that draining is quick.
const REPORT_EVERY_BUSY: Duration = Duration::from_millis(20);
/// How long after a change that lasts.
const BUSY_FOR: Duration = Duration::from_secs(20);
/// Otherwise a report is only a sign of life.
const REPORT_EVERY_IDLE: Duration = Duration::from_millis(500);

pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) settings: Arc<RouterSettings>,
    pub(crate) tables: Tables,
    pub(crate) reports: Arc<Reports>,
    pub(crate) metrics: Arc<WorkerMetrics>,
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
    pub(crate) in_flight: Rc<InFlight>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) access: AccessLines,
}

impl Shared {
    /// Serves by this table from now on.
    fn take_over(&self, table: Arc<Table>) {
        let before = self.table.borrow().version;
        self.pool.keep_only(&table, before);
        self.lines.keep_only(&table, before);
        if !table.has_owners_of(before) {
            self.metrics.keep_only(table.owners());
        }
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

    async fn run(self, doors: Doors) {
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
            lines: Pool::default(),
            buffers: Rc::default(),
            in_flight: Rc::default(),
            metrics: Arc::clone(&self.metrics),
            access: AccessLines::new(std::io::stderr()),
        });
        let follower = tokio::task::spawn_local(follow_tables(
            Rc::clone(&shared),
            tables,
            Arc::clone(&self.reports),
            self.number,
        ));
        self.accept(&plain, secure.as_ref(), &shared).await;
        drop((plain, secure));
        self.drain(&shared).await;
        follower.abort();
    }

    async fn accept(&self, plain: &TcpListener, secure: Option<&TcpListener>, shared: &Rc<Shared>) {
        let connections = Rc::new(tokio::sync::Semaphore::new(self.settings.connections_max));
        let mut shutdown = self.shutdown.clone();
        loop {
            let permit = Rc::clone(&connections).acquire_owned_local().await;
            let (accepted, is_tls) = tokio::select! {
                accepted = plain.accept() => (accepted, false),
                accepted = accept_on(secure) => (accepted, true),
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let visit = Visit { peer, is_tls };
                    let connected = Connected::begin(&self.metrics);
                    let serving = connection::serve(stream, visit, Rc::clone(shared), self.shutdown.clone());
                    tokio::task::spawn_local(async move {
                        serving.await;
                        drop((permit, connected));
                    });
                }
                Err(error) => {
                    // Out of file descriptors, mostly: let connections end before trying again.
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn drain(&self, shared: &Rc<Shared>) {
        let idle = async {
            while shared.in_flight.total() > 0 {
                shared.in_flight.changed().await;
            }
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

/// A semaphore in an `Rc`: permits that stay on the thread.
trait LocalPermits {
    async fn acquire_owned_local(self) -> LocalPermit;
}

struct LocalPermit(Rc<tokio::sync::Semaphore>);

impl LocalPermits for Rc<tokio::sync::Semaphore> {
    async fn acquire_owned_local(self) -> LocalPermit {
        self.acquire().await.expect("the semaphore is never closed").forget();
        LocalPermit(self)
    }
}

impl Drop for LocalPermit {
    fn drop(&mut self) {
        self.0.add_permits(1);
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
                shared.lines.drop_idle();
                shared.access.flush();
            }
        }
    }
}
