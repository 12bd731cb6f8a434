//! Finds out which command a line means and runs it (docs/spec/cli.md 1).

use crate::command::{Command, CommandGroup};
use crate::commands::{self, shortcuts};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::grammar::{self, ParsedCommand};
use crate::terminal::{self, say};
use crate::{help, plugin};

const USAGE: &str = "Usage: deis <command> [<args>...]\n";
const NO_MATCH: &str = "Found no matching command, try 'deis help'\n";

/// Runs one line and gives the exit code.
pub fn run(words: Vec<String>) -> u8 {
    let words = with_help_last(words);
    let Some((first, rest)) = words.split_first() else { return wrong(USAGE) };
    if first.starts_with('-') {
        return wrong(USAGE);
    }
    let name = shortcuts::expanded(first);
    let (profile, rest) = without_profile(rest);
    match meaning(name, &rest) {
        CommandMatch::Overview => ok(print_all(&help::overview())),
        CommandMatch::Group(group) => ok(print_all(&help::group(group))),
        CommandMatch::Command(command) => run_command(command, &rest, profile),
        CommandMatch::UnknownAction => wrong(&format!("{NO_MATCH}{USAGE}")),
        CommandMatch::UnknownGroup => match plugin::find(name, &rest) {
            Some(plugin) => plugin.run(),
            None => wrong(&format!("{NO_MATCH}{USAGE}")),
        },
    }
}

/// Turns `help apps:list` into `apps:list --help`, and lone options into commands.
fn with_help_last(mut words: Vec<String>) -> Vec<String> {
    let is_help = |word: &String| matches!(word.as_str(), "help" | "--help" | "-h");
    match words.first() {
        Some(first) if is_help(first) && words.len() == 1 => vec!["help".to_owned()],
        Some(first) if is_help(first) => {
            words.remove(0);
            words.push("--help".to_owned());
            words
        }
        Some(first) if matches!(first.as_str(), "--version" | "-v") && words.len() == 1 => {
            vec!["version".to_owned()]
        }
        _ => words,
    }
}

/// Takes `-c <profile>` and `--config=<profile>` out of the words before a `--`; the last one counts.
fn without_profile(words: &[String]) -> (Option<String>, Vec<String>) {
    let (mut profile, mut kept) = (None, Vec::new());
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--" {
            kept.push(word.clone());
            kept.extend(rest.by_ref().cloned());
        } else if let Some(value) = word.strip_prefix("--config=") {
            profile = Some(value.to_owned());
        } else if word == "-c" && rest.len() > 0 {
            profile = rest.next().cloned();
        } else {
            kept.push(word.clone());
        }
    }
    (profile, kept)
}

enum CommandMatch {
    Overview,
    Group(&'static CommandGroup),
    Command(&'static Command),
    UnknownAction,
    UnknownGroup,
}

fn meaning(name: &str, rest: &[String]) -> CommandMatch {
    if name == "help" {
        return CommandMatch::Overview;
    }
    let group_name = name.split(':').next().unwrap_or(name);
    let Some(group) = commands::GROUPS.iter().find(|group| group.name == group_name) else {
        return CommandMatch::UnknownGroup;
    };
    let command = |name: &str| group.commands.iter().find(|command| command.name == name);
    if let Some(command) = command(name) {
        return CommandMatch::Command(command);
    }
    let asks_help = rest.first().is_some_and(|word| matches!(word.as_str(), "-h" | "--help"));
    match group.default.and_then(command) {
        _ if name != group.name => CommandMatch::UnknownAction,
        Some(default) if !asks_help => CommandMatch::Command(default),
        _ => CommandMatch::Group(group),
    }
}

fn run_command(command: &Command, words: &[String], profile: Option<String>) -> u8 {
    match grammar::parse(command, words) {
        ParsedCommand::Help => ok(print_all(&help::command(command))),
        ParsedCommand::Wrong(reason) => {
            let reason = reason.map(|reason| reason + "\n").unwrap_or_default();
            wrong(&format!("{reason}{}\n", command.usage_line()))
        }
        ParsedCommand::Run(matches) => ok((command.run)(&Context::new(profile), &matches)),
    }
}

fn print_all(text: &str) -> CommandResult {
    say!("{text}");
    Ok(())
}

fn ok(outcome: CommandResult) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(Failure::Exit(code)) => code,
        Err(failure) => wrong(&format!("{failure}\n")),
    }
}

fn wrong(text: &str) -> u8 {
    terminal::complain(text);
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn help_before_a_command_becomes_help_behind_it() {
        assert_eq!(with_help_last(words("help apps:list")), words("apps:list --help"));
        assert_eq!(with_help_last(words("-h apps")), words("apps --help"));
        assert_eq!(with_help_last(words("--help")), words("help"));
        assert_eq!(with_help_last(words("-v")), words("version"));
        assert_eq!(with_help_last(words("-v x")), words("-v x"));
    }

    #[test]
    fn the_profile_is_taken_out_wherever_it_stands() {
        let (profile, rest) = without_profile(&words("-a x -c work foo --config=home"));
        assert_eq!((profile.as_deref(), rest), (Some("home"), words("-a x foo")));
    }

    #[test]
    fn words_behind_dashes_belong_to_the_command_that_is_run() {
        let (profile, rest) = without_profile(&words("-- bash -c ls"));
        assert_eq!((profile, rest), (None, words("-- bash -c ls")));
    }

    #[test]
    fn every_group_runs_a_command_of_its_own() {
        for group in commands::GROUPS {
            let names: Vec<_> = group.commands.iter().map(|command| command.name).collect();
            assert!(group.default.is_none_or(|default| names.contains(&default)), "{}", group.name);
            assert!(names.iter().all(|name| name.split(':').next() == Some(group.name)), "{}", group.name);
        }
    }
}
