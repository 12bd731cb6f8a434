//! Procfiles: process types and their commands (docs/spec/components.md 1.10).
//!
//! Each line is an entry, `name: command`, independent of other lines. The command extends to the end of its line:
//! a `#` in it belongs to the shell. Of YAML, which the original read, the forms that users write are supported: a
//! value in quotes as a whole, the block forms `|` and `>`, and continuation lines with deeper indentation.

use std::collections::BTreeMap;

use crate::names::{NameError, ProcessType};

/// Largest Procfile that is read.
pub const PROCFILE_BYTES_MAX: usize = 64 * 1024;

/// Process types and their commands.
pub type Procfile = BTreeMap<ProcessType, String>;

/// An invalid Procfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcfileError {
    #[error("Procfile is longer than {} KB", PROCFILE_BYTES_MAX / 1024)]
    TooLong,
    #[error("Procfile line {line}: `{text}` is not of the form `<process type>: <command>`")]
    NotAnEntry { line: usize, text: String },
    #[error("Procfile line {line}: `{name}` can not be a process type: {reason}")]
    Name { line: usize, name: String, reason: NameError },
    #[error("Procfile line {line}: process type `{name}` has no command")]
    NoCommand { line: usize, name: String },
    #[error("Procfile line {line}: process type `{name}` was defined before, on line {first}")]
    Twice { line: usize, name: String, first: usize },
}

/// Reads a Procfile.
///
/// # Errors
///
/// [`ProcfileError::TooLong`] above [`PROCFILE_BYTES_MAX`]; every other [`ProcfileError`] names the line.
pub fn parse(text: &str) -> Result<Procfile, ProcfileError> {
    if text.len() > PROCFILE_BYTES_MAX {
        return Err(ProcfileError::TooLong);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<_> = text.lines().collect();
    let mut procfile = Procfile::new();
    let mut first_lines = BTreeMap::new();
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        let number = next + 1;
        next += 1;
        if is_empty(line) || line.trim_end() == "---" {
            continue;
        }
        let (process, command) = parse_line(number, line.trim())?;
        let further = &lines[next..next + further_in(line, &lines[next..])];
        next += further.len();
        let command = whole_command(command, further);
        if command.is_empty() {
            return Err(ProcfileError::NoCommand { line: number, name: process.to_string() });
        }
        if let Some(first) = first_lines.insert(process.clone(), number) {
            return Err(ProcfileError::Twice { line: number, name: process.to_string(), first });
        }
        procfile.insert(process, command);
    }
    Ok(procfile)
}

/// A blank line or a comment.
fn is_empty(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// Number of following lines that continue an entry: they are indented further and are no entries themselves.
fn further_in(entry: &str, following: &[&str]) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let is_block = entry.split_once(':').is_some_and(|(_, value)| is_block(value.trim()));
    let belongs = |line: &&&str| match is_block {
        true => line.trim().is_empty() || indent(line) > indent(entry),
        false => indent(line) > indent(entry) && !is_empty(line) && parse_line(0, line.trim()).is_err(),
    };
    following.iter().take_while(belongs).count()
}

/// Marker of a YAML block: `|` or `>`, with a modifier for the last line break.
fn is_block(value: &str) -> bool {
    matches!(value, "|" | ">" | "|-" | ">-" | "|+" | ">+")
}

/// The command of an entry with the lines that belong to it, without the quotes of a value quoted as a whole.
fn whole_command(value: &str, further: &[&str]) -> String {
    let further = further.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
    if is_block(value) {
        let separator = if value.starts_with('|') { "\n" } else { " " };
        return further.collect::<Vec<_>>().join(separator);
    }
    let all = std::iter::once(value).chain(further).filter(|part| !part.is_empty());
    let command = all.collect::<Vec<_>>().join(" ");
    unquoted(&command).unwrap_or(command)
}

/// The text of a value that is one quoted scalar of YAML; `None` where the quotes are the shell's.
fn unquoted(command: &str) -> Option<String> {
    if !command.starts_with(['"', '\'']) {
        return None;
    }
    let text: String = serde_saphyr::from_str(command).ok()?;
    Some(text.trim().to_owned())
}

fn parse_line(number: usize, line: &str) -> Result<(ProcessType, &str), ProcfileError> {
    let not_an_entry = || {
        let text = line.chars().take(80).collect();
        ProcfileError::NotAnEntry { line: number, text }
    };
    let (name, command) = line.split_once(':').ok_or_else(not_an_entry)?;
    let name = name.trim_end();
    let in_quotes = |quote: char| name.strip_prefix(quote).and_then(|name| name.strip_suffix(quote));
    let name = in_quotes('"').or_else(|| in_quotes('\'')).unwrap_or(name);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(not_an_entry());
    }
    Ok((process_type(name, number)?, command.trim()))
}

fn process_type(name: &str, line: usize) -> Result<ProcessType, ProcfileError> {
    ProcessType::parse(name).map_err(|reason| ProcfileError::Name {
        line,
        name: name.chars().take(80).collect(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let entries = parse(text).map_err(|error| error.to_string())?;
        Ok(entries.into_iter().map(|(process, command)| (process.to_string(), command)).collect())
    }

    fn commands(entries: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(entries.iter().map(|(name, command)| ((*name).to_owned(), (*command).to_owned())).collect())
    }

    #[test]
    fn yaml_maps_are_read() {
        let text = "---\n# all\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\nworker: 'python w.py'\n\
                    \"clock\": \"a \\\"b\\\"\"\nlong: >\n  one\n  two\n";
        assert_eq!(
            read(text),
            commands(&[
                ("clock", "a \"b\""),
                ("long", "one two"),
                ("web", "gunicorn app:app --bind 0.0.0.0:$PORT"),
                ("worker", "python w.py"),
            ])
        );
        assert_eq!(read(""), commands(&[]));
        assert_eq!(read("# nothing yet\n"), commands(&[]));
        assert_eq!(read("\u{feff}web: a\r\n"), commands(&[("web", "a")]));
    }

    #[test]
    fn a_line_means_the_same_whatever_other_lines_say() {
        let alone = "web: python show.py \"issue #7\" --title='a #b'";
        let command = "python show.py \"issue #7\" --title='a #b'";
        for other in [
            "",
            "clock: \"tick\"",
            "clock: npm run start: all",
            "clock: [a]",
            "clock: a # b",
            "clock: |\n  x\n  y",
        ] {
            for text in [format!("{alone}\n{other}\n"), format!("{other}\n{alone}\n")] {
                let entries = read(&text).expect("a Procfile");
                assert!(entries.contains(&("web".to_owned(), command.to_owned())), "{text}: {entries:?}");
            }
        }
    }

    #[test]
    fn a_command_may_go_on_in_lines_further_in() {
        assert_eq!(
            read("web: gunicorn app\n  --bind x\n\n# next\nclock: |\n  one\n\n  two\nlast: a\n"),
            commands(&[("clock", "one\ntwo"), ("last", "a"), ("web", "gunicorn app --bind x")])
        );
        assert_eq!(read("  web: a\n  worker: b\n"), commands(&[("web", "a"), ("worker", "b")]));
    }

    #[test]
    fn lines_that_are_no_yaml_are_read_too() {
        for (line, command) in [
            ("web: npm run start: all", "npm run start: all"),
            ("web: [ -f x ] && ./run", "[ -f x ] && ./run"),
            ("web: [a]", "[a]"),
            ("web: {a,b}", "{a,b}"),
            ("web:./run", "./run"),
            ("web: @run", "@run"),
            ("web: \"a\" b", "\"a\" b"),
            ("web: true", "true"),
            ("web: 5", "5"),
            ("web : run", "run"),
            ("web: a # b", "a # b"),
            ("web: &x run", "&x run"),
            ("'web': run", "run"),
        ] {
            assert_eq!(read(line), commands(&[("web", command)]), "{line}");
        }
    }

    #[test]
    fn an_error_names_the_line_and_what_is_wrong_with_it() {
        for (text, message) in [
            (
                "web: a\nrun this",
                "Procfile line 2: `run this` is not of the form `<process type>: <command>`",
            ),
            ("web:\n", "Procfile line 1: process type `web` has no command"),
            ("web: a\n\nweb: b", "Procfile line 3: process type `web` was defined before, on line 1"),
            (
                "web: a\nMy_Worker: b",
                "Procfile line 2: `My_Worker` can not be a process type: Process types can only contain \
                 lowercase alphanumeric characters",
            ),
            ("- web\n", "Procfile line 1: `- web` is not of the form `<process type>: <command>`"),
        ] {
            assert_eq!(read(text), Err(message.to_owned()), "{text:?}");
        }
        assert_eq!(parse(&"#".repeat(PROCFILE_BYTES_MAX + 1)), Err(ProcfileError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c:#'\"&*|>\\[\\]{}\n -]{0,60}") {
            if let Ok(procfile) = parse(&text) {
                prop_assert!(procfile.values().all(|command| !command.trim().is_empty()));
            }
        }

        #[test]
        fn plain_lines_are_read_as_they_are(entries in btree_map("[a-z]{1,8}", "[a-z][a-z0-9 ./$-]{0,20}[a-z]", 0..5)) {
            let text: String = entries.iter().map(|(name, command)| format!("{name}: {command}\n")).collect();
            prop_assert_eq!(read(&text), Ok(entries.into_iter().collect::<Vec<_>>()));
        }
    }
}
