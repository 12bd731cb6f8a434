//! Writing to stdout and stderr, and what kind of thing they are.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use api::visible::{Color, visible};
use clap::Arg;

use crate::command::{Matches, flag};

pub fn color() -> Arg {
    flag(None, "color", "keep the colours of the app; on a terminal they are left out otherwise")
}

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

/// Writes at once: a prompt or a progress line must be seen before the client waits. On a terminal, what an app or a
/// user could have put into the text is shown, not obeyed.
pub fn print(text: fmt::Arguments<'_>) {
    print_colored(text, Color::Dropped);
}

/// The same, with the colours of apps where they are kept.
pub fn print_colored(text: fmt::Arguments<'_>, color: Color) {
    if stdout_is_terminal() {
        control(&visible(&text.to_string(), color));
    } else {
        control_with(|stdout| stdout.write_fmt(text));
    }
}

/// Passes on what a command wrote: each byte, but to a terminal as it is shown there.
pub fn print_output(output: &[u8], color: Color) {
    if stdout_is_terminal() {
        control(&visible(&String::from_utf8_lossy(output), color));
    } else {
        control_with(|stdout| stdout.write_all(output));
    }
}

/// The same to stderr.
pub fn complain_output(output: &[u8], color: Color) {
    if io::stderr().is_terminal() {
        complain_colored(&String::from_utf8_lossy(output), color);
    } else {
        io::stderr().lock().write_all(output).ok();
    }
}

/// Writes codes of our own as they are.
pub fn control(codes: &str) {
    control_with(|stdout| stdout.write_all(codes.as_bytes()));
}

fn control_with(write: impl FnOnce(&mut io::StdoutLock<'_>) -> io::Result<()>) {
    let mut stdout = io::stdout().lock();
    if write(&mut stdout).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(READER_GONE);
    }
}

/// Writes to stderr; errors of that are ignored, as there is nowhere to report them.
pub fn complain(text: &str) {
    complain_colored(text, Color::Dropped);
}

/// The same, with the colours of apps where they are kept.
pub fn complain_colored(text: &str, color: Color) {
    let text = if io::stderr().is_terminal() { visible(text, color) } else { Cow::Borrowed(text) };
    io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// Keeps colors of apps on a terminal if the user asks for it (https://bixense.com/clicolors).
pub fn color_of(matches: &Matches) -> Color {
    let is_forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0" && !value.is_empty());
    if matches.has("color") || is_forced { Color::Kept } else { Color::Dropped }
}

pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

pub fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Returns true if stdout is a character device: a terminal, but also `/dev/null`.
#[cfg(unix)]
pub fn stdout_is_device() -> bool {
    is_device(&io::stdout())
}

/// Returns true if stdin is a character device: a terminal, but also `/dev/null`.
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
