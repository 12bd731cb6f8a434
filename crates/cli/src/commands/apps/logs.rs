//! `deis logs`: the last lines of an app, each in a colour on a terminal.

mod follow;

use api::client::ClientError;
use api::visible::Color;

use crate::command::Matches;
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::terminal;

/// Shorter answers hold no log line.
const LOG_SIZE_BYTES_MIN: usize = 3;
const NO_LOGS: &str = "There are currently no log messages. Please check the following things:\n\
    1) The app was deployed and its processes run: deis releases, deis ps\n\
    2) Its processes write to stdout or stderr\n\
    3) The platform's logger runs";

pub fn logs(context: &Context, matches: &Matches) -> CommandResult {
    let lines =
        matches.number("lines")?.and_then(|lines| u64::try_from(lines).ok()).filter(|lines| *lines > 0);
    let session = context.app_session(matches)?;
    if matches.has("follow") {
        return follow::follow(&session, lines, LinePrinter::of(matches));
    }
    let text = session.client.logs(&session.app, lines).map_err(no_logs)?;
    if text.len() < LOG_SIZE_BYTES_MIN {
        return Err(Failure::new(NO_LOGS));
    }
    let printer = LinePrinter::of(matches);
    text.lines().for_each(|line| printer.show(line));
    Ok(())
}

/// Prints lines in their colours.
#[derive(Debug, Clone, Copy)]
struct LinePrinter {
    /// Each line in the colour of its category.
    is_colored: bool,
    /// Handling of the app's own colors on a terminal.
    own: Color,
}

impl LinePrinter {
    fn of(matches: &Matches) -> Self {
        let is_colored =
            terminal::stdout_is_terminal() && !cfg!(windows) && std::env::var_os("NO_COLOR").is_none();
        Self { is_colored, own: terminal::color_of(matches) }
    }

    fn show(self, line: &str) {
        if self.is_colored {
            terminal::control(&format!("\u{1b}[3{}m", colour(line)));
        }
        terminal::print_colored(format_args!("{line}"), self.own);
        terminal::control(if self.is_colored { "\u{1b}[0m\n" } else { "\n" });
    }
}

/// An answer that is no log means that there is none; its own words come last.
fn no_logs(error: ClientError) -> Failure {
    match error {
        error @ ClientError::Status { .. } => {
            let Failure::Message { text, .. } = Failure::from(error) else { return Failure::new(NO_LOGS) };
            Failure::new(format!("{NO_LOGS}\nThe controller answered: {text}"))
        }
        other => other.into(),
    }
}

/// The colour of a line's category, the first word before ` -- `.
fn colour(line: &str) -> u32 {
    let head = line.split(" -- ").next().unwrap_or(line);
    let category = head.split(' ').next().unwrap_or(head);
    if category == "INFO" {
        return 5;
    }
    let sum = category.bytes().fold(0u8, u8::wrapping_add);
    match u32::from(sum) % 6 + 1 {
        5 => 9,
        colour => colour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_has_a_colour_that_nothing_else_has() {
        assert_eq!(colour("INFO -- x"), 5);
        let others = (b'a'..=b'z').map(|letter| colour(&format!("{} -- x", char::from(letter))));
        assert!(others.into_iter().all(|colour| colour != 5 && colour > 0));
    }

    #[test]
    fn the_colour_depends_on_the_first_word_alone() {
        assert_eq!(colour("a b -- c"), colour("a x"));
        assert_eq!(colour("a"), u32::from(b'a') % 6 + 1);
    }
}
