//! Questions to the user: one word from stdin, or a password that is not shown.

use std::io::{self, IsTerminal};

use crate::failure::{CommandResult, Failure};
use crate::terminal::say;

/// Asks for one word; an empty line or the end of the input gives an empty text.
pub fn word(question: &str) -> CommandResult<String> {
    say!("{question}");
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| Failure::new(format!("reading stdin: {error}")))?;
    Ok(line.split_whitespace().next().unwrap_or("").to_owned())
}

/// The value that was given, or else the answer to a question.
pub fn given_or_word(given: Option<&str>, question: &str) -> CommandResult<String> {
    match given {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => word(question),
    }
}

/// Asks for a password without echo. `option` can give it where there is no terminal.
pub fn password(question: &str, option: &str) -> CommandResult<String> {
    say!("{question}");
    if !io::stdin().is_terminal() {
        return Err(Failure::new(format!(
            "cannot ask for a password, as stdin is not a terminal; give it with {option}"
        )));
    }
    rpassword::read_password().map_err(|error| Failure::new(format!("reading the password: {error}")))
}

/// Asks a question whose answer is no unless it is `y`.
pub fn yes(question: &str) -> CommandResult<bool> {
    Ok(matches!(word(question)?.as_str(), "y" | "Y"))
}
