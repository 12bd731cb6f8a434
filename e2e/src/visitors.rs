//! Clients that request an app again and again during a scenario, and record the failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Platform, get};

/// Number of concurrent clients.
const COUNT: usize = 4;
/// Pause of a client between a response and its next request.
const PAUSE: Duration = Duration::from_millis(25);

pub struct Visitors {
    stop: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Visitors {
    /// Starts the clients.
    pub fn of(platform: &Platform, app: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (port, host) = (platform.http_port, format!("{app}.localhost"));
        let visitor = |_| {
            let (stop, host) = (Arc::clone(&stop), host.clone());
            std::thread::spawn(move || visit(port, &host, &stop))
        };
        Self { visitors: (0..COUNT).map(visitor).collect(), stop }
    }

    /// Stops the clients; returns the number of requests, and the failures among them.
    pub fn leave(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let told = self.visitors.into_iter().map(|visitor| visitor.join().expect("a visitor goes home"));
        told.fold((0, Vec::new()), |(asked, mut lost), (more_asked, more_lost)| {
            lost.extend(more_lost);
            (asked + more_asked, lost)
        })
    }
}

fn visit(port: u16, host: &str, stop: &AtomicBool) -> (usize, Vec<String>) {
    let (mut asked, mut lost) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        asked += 1;
        match get(port, host, "/") {
            Ok(answer) if answer.status == 200 => {}
            Ok(answer) => lost.push(format!("status {}", answer.status)),
            Err(error) => lost.push(error),
        }
        std::thread::sleep(PAUSE);
    }
    (asked, lost)
}
