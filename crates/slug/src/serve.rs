//! `slug static`: a small web server for the files of one folder.
//!
//! HTTP/1.1, GET and HEAD, keep-alive, validators, ranges, a bounded number of connections with a thread each. No
//! compression, no listing of folders: the edge and a real web server are for more.

mod answer;
mod connections;
mod media_type;
mod range;
mod request;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::{OrFailure, SlugError};
use answer::StaticSite;
use connections::StaticConnections;

/// Longest time for requests under way after TERM; below the platform's grace period.
const DRAIN: Duration = Duration::from_secs(25);
/// Stack of a connection's thread, in bytes.
const STACK_BYTES: usize = 256 * 1024;

/// Serves `root` until TERM or INT, then finishes the requests under way.
pub fn serve(root: &Path, fallback: Option<String>, port: u16) -> Result<(), SlugError> {
    let site = StaticSite { root: find_root(root)?, fallback };
    let mut stop = Signals::new([SIGTERM, SIGINT]).or_fail("catch signals")?;
    let listener = listen(port).or_fail(format!("listen on port {port}"))?;
    let port = listener.local_addr().or_fail("find the port")?.port();
    println!("serving {} on port {port}", site.root.display());
    let connections = Arc::new(StaticConnections::default());
    let accepting = Arc::clone(&connections);
    std::thread::spawn(move || accept(&listener, &Arc::new(site), &accepting));
    stop.forever().next();
    connections.drain(DRAIN);
    Ok(())
}

fn find_root(root: &Path) -> Result<PathBuf, SlugError> {
    match root.canonicalize() {
        Ok(found) if found.is_dir() => Ok(found),
        _ => Err(SlugError::data(format!("{} is not a folder: nothing to serve", root.display()))),
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
}

fn accept(listener: &TcpListener, site: &Arc<StaticSite>, connections: &Arc<StaticConnections>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of file descriptors, or the client is gone; the next connection may succeed.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let Some(place) = connections.admit(&stream) else { continue };
        let site = Arc::clone(site);
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        // A thread that cannot be made drops its place, and the connection with it.
        let _ = thread.spawn(move || answer::converse(stream, &site, &place));
    }
}
