//! Help texts, made from the tables of commands.

use std::fmt::Write;

use crate::command::{Argument, Arity, Command, CommandGroup, Opt};
use crate::commands::{self, shortcuts};
use crate::grammar;

const INTRODUCTION: &str = "\
deis deploys and runs your apps on a Deis Workflow platform.

Usage: deis <command> [<args>...]

Option flags:
  -h --help        show help; also behind any command
  -v --version     print the version of this client
  -c --config=<x>  behind a command: the profile to use, a name or the path of a .json file

Your account ('deis help auth' shows more):
";

const AUTH_SHORTCUTS: [&str; 5] = ["register", "login", "logout", "passwd", "whoami"];

/// All that there is, in one page.
pub fn overview() -> String {
    let mut text = INTRODUCTION.to_owned();
    for name in AUTH_SHORTCUTS {
        row(&mut text, name, commands::find(shortcuts::expanded(name)).map_or("", |command| command.summary));
    }
    text.push_str("\nGroups of commands, run as <group>:<action> ('deis help <group>' shows more):\n");
    for group in commands::GROUPS {
        let actions: Vec<_> =
            group.commands.iter().filter_map(|command| command.name.split(':').nth(1)).collect();
        let summary = group.commands.first().map_or("", |command| command.summary);
        row(&mut text, group.name, &if actions.is_empty() { summary.to_owned() } else { actions.join(", ") });
    }
    text.push_str("\nShortcuts for common commands:\n");
    for (name, target) in shortcuts::SHORTCUTS.iter().filter(|(name, _)| !AUTH_SHORTCUTS.contains(name)) {
        row(&mut text, name, commands::find(target).map_or("", |command| command.summary));
    }
    text.push_str(
        "\nIn a repository with a remote `deis`, 'git push deis master' deploys what is committed.\n",
    );
    text
}

/// The commands of one group.
pub fn group(group: &CommandGroup) -> String {
    let mut text = format!("Valid commands for {}:\n\n", group.name);
    let width = group.commands.iter().map(|command| command.name.len()).max().unwrap_or(0) + 4;
    for command in group.commands {
        writeln!(text, "{:width$}{}", command.name, command.summary).expect("a String takes any text");
    }
    text.push_str("\n'deis help [command]' shows more about one of them.\n");
    text
}

/// All about one command.
pub fn command(command: &Command) -> String {
    let mut text = format!("{}\n\n", command.summary);
    if !command.about.is_empty() {
        writeln!(text, "{}\n", command.about).expect("a String takes any text");
    }
    writeln!(text, "{}", command.usage_line()).expect("a String takes any text");
    section(&mut text, "Arguments", command.arguments.iter().map(argument));
    section(&mut text, "Options", grammar::options(command).map(|option| self::option(&option)));
    section(&mut text, "Examples", command.examples.iter().map(|example| format!("  $ {example}\n")));
    text
}

fn row(text: &mut String, name: &str, summary: &str) {
    writeln!(text, "  {name:16}{summary}").expect("a String takes any text");
}

fn section(text: &mut String, title: &str, rows: impl Iterator<Item = String>) {
    let body: String = rows.collect();
    if !body.is_empty() {
        write!(text, "\n{title}:\n{body}").expect("a String takes any text");
    }
}

fn argument(argument: &Argument) -> String {
    let dots = if argument.arity == Arity::Many { "..." } else { "" };
    format!("  <{}>{dots}\n    {}.\n", argument.name, argument.help)
}

fn option(option: &Opt) -> String {
    let short = option.short.map(|short| format!("-{short} ")).unwrap_or_default();
    let value = option.value.map(|value| format!("=<{value}>")).unwrap_or_default();
    format!("  {short}--{}{value}\n    {}.\n", option.long, option.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_an_example_and_says_what_it_does() {
        for command in commands::GROUPS.iter().flat_map(|group| group.commands) {
            assert!(!command.examples.is_empty(), "{} has no example", command.name);
            assert!(command.summary.ends_with('.'), "{} has no sentence", command.name);
            assert!(self::command(command).contains(&command.usage_line()), "{}", command.name);
        }
    }

    #[test]
    fn whatever_lists_or_shows_does_so_in_json_too() {
        let shows = |name: &str| {
            let action = name.split(':').nth(1).unwrap_or(name);
            matches!(action, "list" | "info" | "auto" | "whoami" | "version" | "branch")
        };
        for command in commands::GROUPS.iter().flat_map(|group| group.commands) {
            let takes_output = command.options.iter().any(|option| option.long == "output");
            assert_eq!(takes_output, shows(command.name), "{}", command.name);
        }
    }

    #[test]
    fn every_shortcut_leads_to_a_command() {
        for (name, target) in shortcuts::SHORTCUTS {
            assert!(commands::find(target).is_some(), "{name}");
        }
    }
}
