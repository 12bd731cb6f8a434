//! Finds out which command a line means and runs it (docs/spec/cli.md 1).

use clap::error::ErrorKind;

use crate::command::Command;
use crate::commands::{self, shortcuts};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::plugin::{self, Plugin};
use crate::terminal::{self, say};
use crate::{help, usage_error};

const USAGE: &str = "Usage: deis <command> [<args>...]\n";
const NO_MATCH: &str = "Found no matching command, try 'deis help'\n";

/// Runs one line and gives the exit code.
pub fn run(words: Vec<String>) -> u8 {
    let words = with_help_last(words);
    let Some((first, rest)) = words.split_first() else { return wrong(USAGE) };
    if first.starts_with('-') {
        return wrong(USAGE);
    }
    let (profile, mut rest) = without_profile(rest);
    let typed = with_action(first, &mut rest);
    let name = shortcuts::expanded(&typed);
    match commands::find(name) {
        _ if name == "help" => ok(print_all(&help::overview())),
        Some(command) => run_command(command, &rest, profile),
        None => run_group(name, &rest, profile),
    }
}

/// Runs the default command of a group, or a plugin.
fn run_group(name: &str, rest: &[String], profile: Option<String>) -> u8 {
    let group_name = name.split(':').next().unwrap_or(name);
    let Some(group) = commands::GROUPS.iter().find(|group| group.name == group_name) else {
        return plugin::find(name, rest).map_or_else(|| unknown(name), Plugin::run);
    };
    let asks_help = rest.first().is_some_and(|word| matches!(word.as_str(), "-h" | "--help"));
    match group.default() {
        _ if name != group.name => unknown(name),
        Some(default) if !asks_help => run_command(default, rest, profile),
        _ => ok(print_all(&help::group(group))),
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

/// Joins a group with the action in the next word: `config set` is `config:set`.
fn with_action(first: &str, rest: &mut Vec<String>) -> String {
    let is_group =
        commands::GROUPS.iter().any(|group| group.name == first) && commands::find(first).is_none();
    match rest.first().map(|action| format!("{first}:{action}")) {
        Some(name) if (is_group && !rest[0].starts_with('-')) || shortcuts::expanded(&name) != name => {
            rest.remove(0);
            name
        }
        _ => first.to_owned(),
    }
}

fn run_command(command: &Command, words: &[String], profile: Option<String>) -> u8 {
    let wrong_call = |reason: Option<String>| {
        let reason = reason.map(|reason| reason + "\n").unwrap_or_default();
        wrong(&format!("{reason}{}\n", command.usage_line))
    };
    match command.parse(words) {
        Err(error) if error.kind() == ErrorKind::DisplayHelp || usage_error::asks_help(words) => {
            ok(print_all(&help::command(command)))
        }
        Err(error) => wrong_call(usage_error::reason(command, &error)),
        Ok(matches) => match (command.run)(&Context::new(profile), &matches) {
            Err(Failure::WrongCall(reason)) => wrong_call(Some(reason.to_owned())),
            outcome => ok(outcome),
        },
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

fn unknown(name: &str) -> u8 {
    let similar = similar(name).map(|name| format!("Did you mean 'deis {name}'?\n")).unwrap_or_default();
    wrong(&format!("{NO_MATCH}{similar}{USAGE}"))
}

/// The command that `name` is a slip of the hand away from: one changed letter in three.
fn similar(name: &str) -> Option<&'static str> {
    let shortcuts = shortcuts::SHORTCUTS.iter().map(|(shortcut, _)| *shortcut);
    let groups = commands::GROUPS.iter().map(|group| group.name);
    let names = commands::all().map(|command| command.name).chain(shortcuts).chain(groups);
    let distance = |other: &&str| strsim::damerau_levenshtein(name, other);
    let alike = names.filter(|other| other.contains(':') == name.contains(':'));
    alike.min_by_key(distance).filter(|other| distance(other) <= name.len() / 3)
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
    fn an_action_may_be_a_word_of_its_own() {
        for (line, name, arguments) in [
            ("config set A=1", "config:set", "A=1"),
            ("config --oneline", "config", "--oneline"),
            ("sharing add bob", "sharing:add", "bob"),
            ("run list", "run", "list"),
            ("completions bash", "completions", "bash"),
            ("accounts list", "accounts", "list"),
        ] {
            let mut rest = words(line);
            let first = rest.remove(0);
            assert_eq!((with_action(&first, &mut rest).as_str(), rest), (name, words(arguments)), "{line}");
        }
    }

    #[test]
    fn every_group_runs_a_command_of_its_own() {
        for group in commands::GROUPS.iter() {
            let names: Vec<_> = group.commands.iter().map(|command| command.name).collect();
            let runs = group
                .default()
                .map(|default| default.name)
                .or(commands::find(group.name).map(|own| own.name));
            assert_eq!(runs.is_none(), ["auth", "git"].contains(&group.name), "{}", group.name);
            assert!(runs.is_none_or(|runs| names.contains(&runs)), "{}", group.name);
            assert!(names.iter().all(|name| name.split(':').next() == Some(group.name)), "{}", group.name);
        }
    }
}
