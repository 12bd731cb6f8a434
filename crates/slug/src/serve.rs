//! `slug static`: a small web server for the files of one folder.
//!
//! HTTP/1.1, GET and HEAD, keep-alive, validators, a bounded number of connections with a thread each. No
//! ranges, no compression, no listing of folders: the edge and a real web server are for more.

mod answer;
mod connections;
mod media_type;
mod request;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::{Failure, OrFailure};
use connections::Connections;

/// How long requests under way may take after TERM; below the platform's grace period.
const DRAIN: Duration = Duration::from_secs(25);
/// Stack of a connection's thread, in bytes.
const STACK_BYTES: usize = 256 * 1024;

/// Serves `root` until TERM or INT, then finishes the requests under way.
pub fn serve(root: &Path, port: u16) -> Result<(), Failure> {
    let root = find_root(root)?;
    let mut stop = Signals::new([SIGTERM, SIGINT]).or_fail("catch signals")?;
    let listener = listen(port).or_fail(format!("listen on port {port}"))?;
    let port = listener.local_addr().or_fail("find the port")?.port();
    println!("serving {} on port {port}", root.display());
    let connections = Arc::new(Connections::default());
    let accepting = Arc::clone(&connections);
    std::thread::spawn(move || accept(&listener, &Arc::new(root), &accepting));
    stop.forever().next();
    connections.drain(DRAIN);
    Ok(())
}

fn find_root(root: &Path) -> Result<PathBuf, Failure> {
    match root.canonicalize() {
        Ok(found) if found.is_dir() => Ok(found),
        _ => Err(Failure::data(format!("{} is not a folder: nothing to serve", root.display()))),
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
}

fn accept(listener: &TcpListener, root: &Arc<PathBuf>, connections: &Arc<Connections>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of file descriptors, or the visitor has gone; the next one may do better.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let Some(place) = connections.admit(&stream) else { continue };
        let root = Arc::clone(root);
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        // A thread that cannot be made drops its place, and the connection with it.
        let _ = thread.spawn(move || answer::converse(stream, &root, &place));
    }
}
