//! Writing to stdout and stderr, and what kind of thing they are.

use std::fmt;
use std::io::{self, IsTerminal, Write};

/// Prints to stdout without a line end.
macro_rules! say {
    ($($text:tt)*) => { $crate::terminal::print(format_args!($($text)*)) };
}

/// Prints to stdout with a line end.
macro_rules! sayln {
    () => { $crate::terminal::print(format_args!("\n")) };
    ($($text:tt)*) => {{
        $crate::terminal::print(format_args!($($text)*));
        $crate::terminal::print(format_args!("\n"));
    }};
}

pub(crate) use {say, sayln};

/// Exit code of a client whose reader went away, as a shell reports a process ended by SIGPIPE.
const READER_GONE: i32 = 141;

/// Writes at once: a prompt or a progress line must be seen before the client waits.
pub fn print(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    if stdout.write_fmt(text).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(READER_GONE);
    }
}

/// Writes to stderr; a stderr that cannot be written to leaves nobody to tell.
pub fn complain(text: &str) {
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

pub fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Whether stdout is a character device: a terminal, but also `/dev/null`.
#[cfg(unix)]
pub fn stdout_is_device() -> bool {
    is_device(&io::stdout())
}

/// Whether stdin is a character device: a terminal, but also `/dev/null`.
#[cfg(unix)]
pub fn stdin_is_device() -> bool {
    is_device(&io::stdin())
}

#[cfg(unix)]
fn is_device(stream: &impl std::os::fd::AsFd) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let file = stream.as_fd().try_clone_to_owned().map(std::fs::File::from);
    let metadata = file.and_then(|file| file.metadata());
    metadata.is_ok_and(|metadata| metadata.file_type().is_char_device())
}

#[cfg(not(unix))]
pub fn stdout_is_device() -> bool {
    stdout_is_terminal()
}

#[cfg(not(unix))]
pub fn stdin_is_device() -> bool {
    io::stdin().is_terminal()
}
