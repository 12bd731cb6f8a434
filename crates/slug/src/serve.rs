//! `slug static`: a small web server for the files of one folder.
//!
//! HTTP/1.1, GET and HEAD, keep-alive, validators, ranges, a bounded number of connections with a thread each. No
//! compression, no listing of folders: the edge and a real web server are for more.

mod answer;
mod connections;
mod glob;
mod media_type;
mod range;
mod redirects;
mod request;
mod static_json;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::build::text_file;
use crate::failure::{OrFailure, SlugError};
use answer::StaticSite;
use connections::StaticConnections;
use static_json::StaticRules;

/// Longest time for requests under way after TERM; below the platform's grace period.
const DRAIN: Duration = Duration::from_secs(25);
/// Stack of a connection's thread, in bytes.
const STACK_BYTES: usize = 256 * 1024;

/// The site that `slug static` is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StaticOptions {
    pub root: PathBuf,
    /// The file of the root that answers where a path that names no file is asked for.
    pub fallback: Option<String>,
    /// A `static.json`.
    pub config: Option<PathBuf>,
}

impl StaticOptions {
    /// Reads the rules and finds the folder.
    ///
    /// # Errors
    ///
    /// No such folder, or a rule that cannot be obeyed.
    fn site(&self) -> Result<StaticSite, SlugError> {
        let root = find_root(&self.root)?;
        let mut rules = match &self.config {
            Some(path) => read_rules(path)?,
            None => StaticRules::default(),
        };
        if let Some(text) = text_file::read(&root, redirects::FILE)? {
            rules.redirects.extend(redirects::parse(&text)?);
        }
        Ok(StaticSite { root, fallback: self.fallback.clone(), rules })
    }
}

fn read_rules(path: &Path) -> Result<StaticRules, SlugError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = text_file::read(folder, &name)?
        .ok_or_else(|| SlugError::data(format!("there is no {}: commit it", path.display())))?;
    StaticRules::parse(&text, |name| std::env::var(name).ok())
}

/// Finds what would keep the site from being served.
pub fn check(options: &StaticOptions) -> Result<(), SlugError> {
    options.site().map(|_| ())
}

/// Serves the site until TERM or INT, then finishes the requests under way.
pub fn serve(options: &StaticOptions, port: u16) -> Result<(), SlugError> {
    let site = options.site()?;
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
