//! A program on a terminal of its own, by util-linux's `script`: input, output and exit code.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use testkit::wait_until_blocking;

/// Longest wait for output: an image may have to be pulled.
const TIMEOUT: Duration = Duration::from_secs(120);

pub struct OnTerminal {
    child: Child,
    shown: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
    /// Number of bytes already read.
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

    /// Waits until this text is shown, after the output already read.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        let start = wait_until_blocking(&format!("{text:?} is shown"), TIMEOUT, || {
            let shown = self.shown.lock().expect("nobody panics with it").clone();
            shown[self.seen..].find(text).ok_or_else(|| shown[self.seen..].to_owned())
        });
        self.seen += start + text.len();
    }

    /// Waits for the end; returns the exit code and the whole output.
    pub fn ends(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().expect("it ends").code();
        self.reading.take().expect("it reads").join().expect("no panic");
        let shown = self.shown.lock().expect("nobody panics with it").clone();
        (code, shown)
    }
}

impl Drop for OnTerminal {
    /// Ends the terminal, and with it the program, as closing a window does.
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
