//! How many connections of visitors one worker has open, and its bound.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

pub(crate) struct Connections {
    open: Cell<usize>,
    open_max: usize,
    closed: Notify,
}

/// One connection, for as long as it lives.
pub(crate) struct Open(Rc<Connections>);

impl Connections {
    pub(crate) fn new(open_max: usize) -> Self {
        Self { open: Cell::new(0), open_max, closed: Notify::new() }
    }

    pub(crate) fn open(self: &Rc<Self>) -> Open {
        self.open.set(self.open.get() + 1);
        Open(Rc::clone(self))
    }

    /// Waits until one more may be opened.
    pub(crate) async fn room(&self) {
        self.fewer_than(self.open_max).await;
    }

    /// Waits until none is open.
    pub(crate) async fn all_closed(&self) {
        self.fewer_than(1).await;
    }

    async fn fewer_than(&self, bound: usize) {
        loop {
            // Subscribed before looking, so that no end is missed.
            let closed = self.closed.notified();
            if self.open.get() < bound {
                return;
            }
            closed.await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.notify_waiters();
    }
}
