//! State that all requests of one worker share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::access_log::app_log::AppLog;
use crate::access_log::operator_log::AccessLines;
use crate::body::attended::AttendedResponses;
use crate::http1::buffer::Buffers;
use crate::limits::buffering::Buffering;
use crate::limits::connections::{Connections, WorkerConnections};
use crate::limits::requests::LimitTable;
use crate::metrics::WorkerMetrics;
use crate::settings::RouterSettings;
use crate::table::in_flight::InFlight;
use crate::table::{Table, TableRef};
use crate::upstream::Upstreams;

/// State that all requests of one worker share; it never leaves the thread.
pub(crate) struct WorkerState {
    pub(crate) settings: Arc<RouterSettings>,
    pub(crate) table: RefCell<Rc<TableRef>>,
    /// Wakes requests that wait for a backend.
    pub(crate) table_changed: Notify,
    pub(crate) held_requests: Cell<usize>,
    pub(crate) upstreams: Upstreams,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) in_flight: Rc<InFlight>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) limits: Arc<LimitTable>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) visitors: Rc<WorkerConnections>,
    pub(crate) buffering: Arc<Buffering>,
    pub(crate) answers: AttendedResponses,
    pub(crate) access: AccessLines,
    pub(crate) app_log: Option<Rc<AppLog>>,
    /// Shutdown was asked for.
    pub(crate) is_leaving: Cell<bool>,
}

impl WorkerState {
    /// Serves by this table from now on.
    pub(crate) fn take_over(&self, table: Arc<Table>) {
        let before = self.table.borrow().version;
        self.upstreams.keep_only(&table, before);
        if !table.has_owners_of(before) {
            self.metrics.keep_only(table.owners());
        }
        self.metrics.note_table(table.routes_new_since(before));
        *self.table.borrow_mut() = Rc::new(TableRef(table));
    }

    /// Returns true if a backend that served a host in a table of this version still does.
    pub(crate) fn still_serves(&self, version: u64, host: &str, backend_key: &str) -> bool {
        let table = self.table.borrow();
        table.version == version || table.site(host).is_some_and(|site| site.has_backend(backend_key))
    }
}
