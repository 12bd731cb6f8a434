//! The spinner behind a text such as `Creating build... `.
//!
//! Frames are written to a terminal only; elsewhere the text stands alone.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::terminal::{self, say, sayln};

const FRAMES: [&str; 4] = ["...", "o..", ".o.", "..o"];
const FRAME_TIME: Duration = Duration::from_millis(400);
const ERASE: &str = "\u{8}\u{8}\u{8}";

/// Work in progress; the spinner ends with it.
pub struct Spinner {
    started: Instant,
    spinner: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Spinner {
    /// Prints `text` and starts to spin behind it.
    pub fn start(text: fmt::Arguments<'_>) -> Self {
        say!("{text}");
        let spinner = terminal::stdout_is_terminal().then(spin);
        Self { started: Instant::now(), spinner }
    }

    /// Ends the line with `outcome`.
    pub fn done(mut self, outcome: fmt::Arguments<'_>) {
        self.stop();
        sayln!("{outcome}");
    }

    /// Ends the line with the time it took, in whole seconds.
    pub fn done_in_seconds(self) {
        let seconds = self.started.elapsed().as_secs();
        self.done(format_args!("done in {seconds}s"));
    }

    fn stop(&mut self) {
        if let Some((stop, thread)) = self.spinner.take() {
            drop(stop);
            thread.join().ok();
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spin() -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        say!("{}", FRAMES[0]);
        for frame in FRAMES.iter().cycle().skip(1) {
            match stopped.recv_timeout(FRAME_TIME) {
                Err(RecvTimeoutError::Timeout) => terminal::control(&format!("{ERASE}{frame}")),
                _ => break,
            }
        }
        terminal::control(ERASE);
    });
    (stop, thread)
}
