//! A program on a terminal of its own, by util-linux's `script`: what is typed, what it shows, how it ends.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for something to be shown: an image may have to be pulled.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct OnTerminal {
    child: Child,
    shown: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
    /// How much of it was looked at.
    seen: usize,
}

impl OnTerminal {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("script starts");
        let mut out = child.stdout.take().expect("piped");
        let shown = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&shown);
        let reading = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut piece) {
                written
                    .lock()
                    .expect("nobody panics with it")
                    .push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Self { child, shown, reading: Some(reading), seen: 0 }
    }

    pub fn types(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("it reads");
    }

    /// Waits until this is shown, after what was seen before.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown.lock().expect("nobody panics with it").clone();
            if let Some(start) = shown[self.seen..].find(text) {
                self.seen += start + text.len();
                return;
            }
            assert!(Instant::now() < deadline, "{text:?} is missing in:\n{}", &shown[self.seen..]);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits for the end; gives the exit code and all that was shown.
    pub fn ends(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("it ends").code();
        self.reading.take().expect("it reads").join().expect("no panic");
        let shown = self.shown.lock().expect("nobody panics with it").clone();
        (code, shown)
    }
}

impl Drop for OnTerminal {
    /// As when a window is closed: the terminal goes, and with it the program.
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
