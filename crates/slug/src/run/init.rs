//! A small init beside the app's process: forwards signals, reaps orphans, exits with the app's exit code.
//!
//! A simple command has replaced the shell and gets the signal itself. With a compound one (`a && b`, `a | b`, a
//! script that starts a server) the shell stays, and shells neither forward signals nor wait for their children.
//! So a signal for a shell without a handler goes to the shell's children too. After a terminating signal, orphans
//! become our children (`npm start` leaves the server of its own shell), are signaled as well and waited for,
//! within the platform's grace period. A shell with a handler is left to manage its own children.

use std::collections::HashSet;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid};
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::Signals;

use super::family::{children_of, signal_all};

const FORWARDED: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Runs the command to its end and returns its exit code, 128 and the number for a signal.
pub fn supervise(mut command: Command) -> io::Result<u8> {
    // Caught, not blocked: the child starts with default handlers, but it would inherit a blocked mask.
    let mut signals = Signals::new(FORWARDED.map(|signal| signal as i32).into_iter().chain([SIGCHLD]))?;
    set_child_subreaper(true)?;
    let main = Pid::from_raw(command.spawn()?.id().cast_signed());
    let mut watch = ProcessWatch { main, exit_code: None, stop: None };
    for number in signals.forever() {
        match Signal::try_from(number)? {
            Signal::SIGCHLD => watch.reap()?,
            signal => watch.forward(signal),
        }
        watch.signal_orphans();
        if let Some(code) = watch.ended() {
            return Ok(code);
        }
    }
    unreachable!("waiting for signals ends only when it is told to, and nobody does")
}

struct ProcessWatch {
    main: Pid,
    exit_code: Option<u8>,
    /// The signal that asked the process to end, and the processes that got it.
    stop: Option<(Signal, HashSet<Pid>)>,
}

impl ProcessWatch {
    fn reap(&mut self) -> io::Result<()> {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
                Ok(WaitStatus::Exited(pid, code)) if pid == self.main => {
                    self.exit_code = Some(u8::try_from(code).unwrap_or(1));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.main => {
                    self.exit_code = Some(code_of_signal(signal));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn forward(&mut self, signal: Signal) {
        let mut told = HashSet::new();
        signal_all(&[self.main], signal, &mut told);
        if matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGHUP) {
            self.stop = Some((signal, told));
        }
    }

    /// Forwards the signal to orphans of a process that did not do so.
    fn signal_orphans(&mut self) {
        if let (Some(_), Some((signal, told))) = (self.exit_code, &mut self.stop) {
            signal_all(&children_of(getpid()), *signal, told);
        }
    }

    fn ended(&self) -> Option<u8> {
        let code = self.exit_code?;
        if self.stop.is_some() && has_children() { None } else { Some(code) }
    }
}

fn code_of_signal(signal: Signal) -> u8 {
    ExitStatus::from_raw(signal as i32).signal().map_or(1, |number| 128 + u8::try_from(number).unwrap_or(0))
}

fn has_children() -> bool {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, peek) != Err(Errno::ECHILD)
}
