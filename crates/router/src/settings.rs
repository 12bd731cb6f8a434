//! Settings of a router, from the program that starts it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::buffering::BufferingSettings;
use crate::limits::pace::LeastRate;

/// Open client connections if the system would allow more: some 100 MiB for idle ones.
const CONNECTIONS_MAX: usize = 20_000;
const UPSTREAMS_MAX: usize = 20_000;
const BODY_FILES_MAX: usize = 1_024;
/// Files that are left to everything else: one eighth, and no more than these.
const FILES_RESERVED_MAX: usize = 512;
/// One source has this part of the connections, and a crowd behind one address at least so many.
const SOURCE_DIVISOR: usize = 8;
const BY_SOURCE_LEAST: usize = 64;

/// Settings of a router.
#[derive(Debug, Clone)]
pub struct RouterSettings {
    pub listen: SocketAddr,
    /// Public port of HTTP, if it differs from the listener's.
    pub public_port: Option<u16>,
    pub https: Option<HttpsSettings>,
    /// Name of this router in the logs of apps, where there are several.
    pub name: Option<String>,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// Longest wait of a request for a first ready backend.
    pub hold_timeout: Duration,
    /// Most requests that wait for a backend at once, per worker.
    pub held_requests_max: usize,
    /// Longest time to connect to one backend.
    pub connect_timeout: Duration,
    /// Longest time for a client to send the head of a request.
    pub head_timeout: Duration,
    /// Open client connections of all workers together. Beyond it, idle ones are closed; if all are being served,
    /// more wait in the kernel's queue.
    pub connections_max: usize,
    /// Connections of one source; HTTP/2 requests beyond the first of a connection count like connections. More
    /// are closed at once.
    pub connections_by_source_max: usize,
    /// Open connections to apps, of all workers together. Beyond it requests wait as for a first replica.
    pub upstreams_max: usize,
    /// Least rate of a head; `head_timeout` limits it as a whole.
    pub head_rate: LeastRate,
    /// Least rate of a request body that does not stream.
    pub body_rate: LeastRate,
    /// Longest time in which a client takes nothing of a response.
    pub send_timeout: Duration,
    /// Least rate at which a client must take a long response.
    pub send_rate: LeastRate,
    /// Bounds of bodies that come in as a whole before an app is asked.
    pub buffering: BufferingSettings,
    /// Ordinary requests of HTTP/1 take the fast path; otherwise all take the slow one.
    pub fast_path: bool,
    /// Longest time for requests under way after shutdown was requested.
    pub drain_timeout: Duration,
}

/// Settings of the HTTPS listener.
#[derive(Debug, Clone)]
pub struct HttpsSettings {
    pub listen: SocketAddr,
    /// Public port of HTTPS, if it differs from the listener's.
    pub public_port: Option<u16>,
    /// Longest time for the handshake.
    pub handshake_timeout: Duration,
    /// Names in the certificate that is made at start, for where there is no other.
    pub self_signed_names: Vec<String>,
}

impl HttpsSettings {
    pub fn new(listen: SocketAddr) -> Self {
        let handshake_timeout = Duration::from_secs(10);
        Self { listen, public_port: None, handshake_timeout, self_signed_names: vec!["localhost".to_owned()] }
    }
}

impl RouterSettings {
    /// Settings for one machine or a small cluster.
    pub fn new(listen: SocketAddr) -> Self {
        let mut settings = Self {
            listen,
            public_port: None,
            https: None,
            name: None,
            workers: 0,
            hold_timeout: Duration::from_secs(10),
            held_requests_max: 1_000,
            connect_timeout: Duration::from_secs(3),
            head_timeout: Duration::from_secs(60),
            connections_max: 0,
            connections_by_source_max: 0,
            upstreams_max: 0,
            head_rate: LeastRate { bytes_per_second: 500, grace: Duration::from_secs(10) },
            body_rate: LeastRate { bytes_per_second: 1 << 10, grace: Duration::from_secs(20) },
            send_timeout: Duration::from_secs(60),
            send_rate: LeastRate { bytes_per_second: 1 << 10, grace: Duration::from_secs(60) },
            buffering: BufferingSettings::default(),
            fast_path: true,
            drain_timeout: Duration::from_secs(10),
        };
        settings.share_files(listener::open_files_max());
        settings
    }

    /// Divides the files that the router may have open: what clients and apps do not need at once stays free for
    /// other uses.
    pub fn share_files(&mut self, files: usize) {
        let files = files - (files / 8).min(FILES_RESERVED_MAX);
        self.connections_max = (files / 2).clamp(1, CONNECTIONS_MAX);
        self.connections_by_source_max =
            (self.connections_max / SOURCE_DIVISOR).max(BY_SOURCE_LEAST).min(self.connections_max);
        self.buffering.files_max = (files / 16).min(BODY_FILES_MAX);
        self.upstreams_max = (files / 2 - self.buffering.files_max).clamp(1, UPSTREAMS_MAX);
    }
}
