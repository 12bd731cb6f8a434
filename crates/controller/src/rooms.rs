//! Room for requests that last: each holds a connection and memory for as long as somebody watches.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Logs that are followed at the same time.
const FOLLOWERS_MAX: usize = 500;
/// Sessions with somebody in front of them at the same time.
const SESSIONS_MAX: usize = 100;

/// Places in each room; taken until the request ends.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) followers: Arc<Semaphore>,
    pub(crate) sessions: Arc<Semaphore>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            sessions: Arc::new(Semaphore::new(SESSIONS_MAX)),
        }
    }
}
