//! The connections that pass to the builder: whose they are, how old, and since when they are silent.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use listener::Source;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::PassthroughSettings;

pub(super) struct PassthroughConnections {
    settings: Arc<PassthroughSettings>,
    connections: Mutex<Vec<Arc<PassthroughConnection>>>,
}

/// One connection.
pub(super) struct PassthroughConnection {
    begun: Instant,
    source: Mutex<Option<Source>>,
    /// Milliseconds from its beginning to the last that its client said; 0 where that is nothing.
    last_data_ms: AtomicU64,
    end: Notify,
}

impl PassthroughConnections {
    pub(super) fn new(settings: Arc<PassthroughSettings>) -> Self {
        Self { settings, connections: Mutex::default() }
    }

    /// Counts a connection, for which a silent one may have to end.
    ///
    /// # Errors
    ///
    /// The reason for the refusal.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Result<Arc<PassthroughConnection>, &'static str> {
        let source = address.map(Source::from);
        let mut connections = self.lock();
        if let Some(source) = source {
            self.check_share(&mut connections, source)?;
        }
        let login = self.settings.login_timeout;
        let is_newcomer = |connection: &PassthroughConnection| connection.begun.elapsed() < login;
        let newcomers = connections.iter().filter(|connection| is_newcomer(connection)).count();
        if connections.len() - newcomers >= self.settings.connections_max {
            return Err("there are too many");
        }
        if newcomers >= self.settings.newcomers_max {
            let mut counts = HashMap::new();
            for connection in connections.iter().filter(|connection| is_newcomer(connection)) {
                *counts.entry(*connection.source()).or_insert(0_usize) += 1;
            }
            let most = counts.values().copied().max();
            let has_most =
                |connection: &PassthroughConnection| counts.get(&connection.source()).copied() == most;
            end_most_silent(&mut connections, |connection| is_newcomer(connection) && has_most(connection));
        }
        let connection = Arc::new(PassthroughConnection {
            begun: Instant::now(),
            source: Mutex::new(source),
            last_data_ms: AtomicU64::new(0),
            end: Notify::new(),
        });
        connections.push(Arc::clone(&connection));
        Ok(connection)
    }

    /// Says whose a connection is that was counted before.
    ///
    /// # Errors
    ///
    /// The reason for the refusal.
    pub(super) fn belongs_to(
        &self,
        connection: &PassthroughConnection,
        address: IpAddr,
    ) -> Result<(), &'static str> {
        let source = Source::from(address);
        self.check_share(&mut self.lock(), source)?;
        *connection.source() = Some(source);
        Ok(())
    }

    pub(super) fn remove(&self, connection: &Arc<PassthroughConnection>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, connection));
    }

    fn check_share(
        &self,
        connections: &mut Vec<Arc<PassthroughConnection>>,
        source: Source,
    ) -> Result<(), &'static str> {
        let PassthroughSettings { by_source_max, newcomers_by_source_max, login_timeout, .. } =
            *self.settings;
        let is_of = |connection: &PassthroughConnection| *connection.source() == Some(source);
        let is_newcomer = |connection: &PassthroughConnection| {
            is_of(connection) && connection.begun.elapsed() < login_timeout
        };
        let count = |is: &dyn Fn(&PassthroughConnection) -> bool| {
            connections.iter().filter(|connection| is(connection)).count()
        };
        if count(&is_of) >= by_source_max {
            return Err("there are too many from this address");
        }
        if count(&is_newcomer) >= newcomers_by_source_max {
            end_most_silent(connections, is_newcomer);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<PassthroughConnection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the one of these whose client has been silent for longest.
fn end_most_silent(
    connections: &mut Vec<Arc<PassthroughConnection>>,
    may_go: impl Fn(&PassthroughConnection) -> bool,
) {
    let candidates = connections.iter().enumerate().filter(|(_, connection)| may_go(connection));
    let Some((place, _)) = candidates.min_by_key(|(_, connection)| connection.silence()) else { return };
    connections.swap_remove(place).end.notify_one();
}

impl PassthroughConnection {
    pub(super) async fn must_end(&self) {
        self.end.notified().await;
    }

    /// Returns at this time if nothing was received by then.
    pub(super) async fn stays_silent_until(&self, until: Instant) {
        tokio::time::sleep_until(until).await;
        if self.last_data_ms.load(Ordering::Relaxed) > 0 {
            std::future::pending::<()>().await;
        }
    }

    fn note_data(&self) {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_data_ms.store(ms.max(1), Ordering::Relaxed);
    }

    /// Orders connections by their silence: those that never said anything come first.
    fn silence(&self) -> (bool, Instant) {
        let heard_ms = self.last_data_ms.load(Ordering::Relaxed);
        (heard_ms > 0, self.begun + std::time::Duration::from_millis(heard_ms))
    }

    fn source(&self) -> MutexGuard<'_, Option<Source>> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client whose words are noted.
pub(super) struct MonitoredStream<S> {
    stream: S,
    connection: Arc<PassthroughConnection>,
}

impl<S> MonitoredStream<S> {
    pub(super) fn new(stream: S, connection: Arc<PassthroughConnection>) -> Self {
        Self { stream, connection }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MonitoredStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before {
            self.connection.note_data();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MonitoredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn who_says_something_all_the_time_does_not_push_out_who_waits_for_a_build() {
        let settings = PassthroughSettings { newcomers_max: 4, ..PassthroughSettings::new("builder:2222") };
        let connections = PassthroughConnections::new(Arc::new(settings));
        let admit = |last| connections.admit(Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))).expect("room");
        let waits_for_a_build = admit(1);
        for _ in 0..3 {
            admit(2).note_data();
        }

        for last in 3..5 {
            admit(last).note_data();
        }

        let is_open = |connection: &Arc<PassthroughConnection>| {
            connections.lock().iter().any(|other| Arc::ptr_eq(other, connection))
        };
        assert!(is_open(&waits_for_a_build));
        assert_eq!(connections.lock().len(), 4);
    }
}
