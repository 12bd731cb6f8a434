//! Visitors who ask for an app over and over while things happen, and remember what they did not get.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Platform, get};

/// Visitors who ask side by side.
const COUNT: usize = 4;
/// Pause of each between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(25);

pub struct Visitors {
    stop: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Visitors {
    /// They come at once.
    pub fn of(platform: &Platform, app: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (port, host) = (platform.http_port, format!("{app}.localhost"));
        let visitor = |_| {
            let (stop, host) = (Arc::clone(&stop), host.clone());
            std::thread::spawn(move || visit(port, &host, &stop))
        };
        Self { visitors: (0..COUNT).map(visitor).collect(), stop }
    }

    /// How often they asked, and what they got in place of an answer.
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
