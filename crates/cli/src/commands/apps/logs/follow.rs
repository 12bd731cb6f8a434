//! `deis logs --follow`: new lines as they come. A connection that breaks is made again, where it broke.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use api::client::{ClientError, LineStream};
use api::logs::LogEvent;

use super::{LinePrinter, no_logs};
use crate::context::AppSession;
use crate::failure::{CommandResult, Failure};
use crate::terminal;

/// The server gives a sign of life more often than this.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// First and longest pause before a connection is made again, and for how long that is tried.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(10);
const TRIED_FOR: Duration = Duration::from_secs(15 * 60);
/// Events that wait to be shown.
const WAITING_MAX: usize = 256;

/// Shows the last `lines` lines and all later ones; ends only with an error.
pub(super) fn follow(session: &AppSession, lines: Option<u64>, printer: LinePrinter) -> CommandResult {
    let mut follower = LogFollower { session, lines, after: None, printer };
    let mut events = follower.connect().map_err(too_old)?;
    loop {
        follower.show_all(events)?;
        // A server that hangs up at once must not be asked without rest.
        thread::sleep(PAUSE_FIRST);
        events = follower.reconnect()?;
    }
}

struct LogFollower<'a> {
    session: &'a AppSession,
    lines: Option<u64>,
    /// The last event that was shown.
    after: Option<u64>,
    printer: LinePrinter,
}

impl LogFollower<'_> {
    fn connect(&self) -> Result<LineStream, ClientError> {
        let lines = self.lines.filter(|_| self.after.is_none());
        self.session.client.follow_logs(&self.session.app, lines, self.after)
    }

    /// Shows events until the connection ends or falls silent.
    fn show_all(&mut self, events: LineStream) -> CommandResult {
        let events = read_aside(events);
        loop {
            match events.recv_timeout(SILENCE_MAX) {
                Ok(line) => self.show(&line)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn show(&mut self, event: &str) -> CommandResult {
        let LogEvent { id, line, dropped } = serde_json::from_str(event).map_err(|error| {
            Failure::new(format!("the log of {} cannot be read: {error}", self.session.app))
        })?;
        if let Some(dropped) = dropped {
            terminal::complain(&format!("({dropped} lines are missing here: too many came at once)\n"));
        }
        if let Some(line) = line {
            self.printer.show(&line);
        }
        self.after = id.or(self.after);
        Ok(())
    }

    fn reconnect(&self) -> CommandResult<LineStream> {
        let (began, mut pause, mut is_told) = (Instant::now(), PAUSE_FIRST, false);
        loop {
            match self.connect() {
                Ok(events) => return Ok(events),
                Err(error) if !may_pass(&error) || began.elapsed() > TRIED_FOR => return Err(error.into()),
                Err(error) if !is_told => {
                    terminal::complain(&format!("(no connection, trying again: {})\n", Failure::from(error)));
                    is_told = true;
                }
                Err(_) => {}
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_LONGEST);
        }
    }
}

/// The controller answers 500 while the logger is away.
fn may_pass(error: &ClientError) -> bool {
    error.may_pass() || matches!(error.status(), Some(429 | 500))
}

/// Reads on a thread of its own, as a connection that fell silent would be waited for without end.
fn read_aside(events: LineStream) -> Receiver<String> {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    thread::spawn(move || {
        for event in events.map_while(Result::ok) {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// An older platform has no such URL, which it says with a page.
fn too_old(error: ClientError) -> Failure {
    match &error {
        ClientError::Status { status: 404, body } if body.starts_with('<') => Failure::new(
            "this platform cannot follow logs, it is older than this client; use `deis logs` without --follow",
        ),
        _ => no_logs(error),
    }
}
