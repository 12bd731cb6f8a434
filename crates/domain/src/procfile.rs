//! Procfiles: process types and their commands (components.md 1.10).
//!
//! A Procfile is a YAML map; where it is not valid YAML, it is read in the looser line format
//! (`name: command`, `#` comments), in which a command may hold anything.

use std::collections::BTreeMap;

use crate::names::{NameError, ProcessType};

/// Largest Procfile that is read.
pub const PROCFILE_BYTES_MAX: usize = 64 * 1024;

/// Process types and their commands.
pub type Procfile = BTreeMap<ProcessType, String>;

/// Why a text is no Procfile.
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
pub fn parse(text: &str) -> Result<Procfile, ProcfileError> {
    if text.len() > PROCFILE_BYTES_MAX {
        return Err(ProcfileError::TooLong);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match parse_yaml(text) {
        Some(entries) if each_has_a_line(text, &entries) => checked(text, entries),
        // A command may look like YAML of another kind, such as a list.
        Some(_) | None => parse_lines(text),
    }
}

/// The map of a YAML document, where it is one from texts to texts.
fn parse_yaml(text: &str) -> Option<BTreeMap<String, String>> {
    serde_saphyr::from_str(text).ok()
}

/// Whether each entry is one that a reader of lines would see, too, by its name. `{a: b}` is none.
fn each_has_a_line(text: &str, entries: &BTreeMap<String, String>) -> bool {
    entries.keys().all(|name| line_of(text, name).is_some())
}

fn checked(text: &str, entries: BTreeMap<String, String>) -> Result<Procfile, ProcfileError> {
    let mut procfile = Procfile::new();
    for (name, command) in entries {
        let line = line_of(text, &name).unwrap_or(1);
        let process = process_type(&name, line)?;
        if command.trim().is_empty() {
            return Err(ProcfileError::NoCommand { line, name });
        }
        procfile.insert(process, command.trim().to_owned());
    }
    Ok(procfile)
}

/// Number of the line that begins with this name, counted from 1.
fn line_of(text: &str, name: &str) -> Option<usize> {
    let names_it = |line: &str| {
        let rest = line.trim_start().trim_start_matches(['"', '\'']).strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    text.lines().position(names_it).map(|index| index + 1)
}

fn parse_lines(text: &str) -> Result<Procfile, ProcfileError> {
    let mut procfile = Procfile::new();
    let mut first_lines = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let (number, line) = (index + 1, line.trim());
        if line.is_empty() || line.starts_with('#') || line == "---" {
            continue;
        }
        let (process, command) = parse_line(number, line)?;
        if let Some(first) = first_lines.insert(process.clone(), number) {
            return Err(ProcfileError::Twice { line: number, name: process.to_string(), first });
        }
        procfile.insert(process, command.to_owned());
    }
    Ok(procfile)
}

fn parse_line(number: usize, line: &str) -> Result<(ProcessType, &str), ProcfileError> {
    let not_an_entry = || {
        let text = line.chars().take(80).collect();
        ProcfileError::NotAnEntry { line: number, text }
    };
    let (name, command) = line.split_once(':').ok_or_else(not_an_entry)?;
    let name = name.trim_end();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(not_an_entry());
    }
    let process = process_type(name, number)?;
    match command.trim() {
        "" => Err(ProcfileError::NoCommand { line: number, name: name.to_owned() }),
        command => Ok((process, command)),
    }
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
