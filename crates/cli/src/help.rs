//! Help texts: those of commands by clap, the pages above them from the table of commands.

use std::fmt::Write;

use crate::command::{Command, CommandGroup};
use crate::commands::{self, shortcuts};

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
    for group in commands::GROUPS.iter() {
        let actions: Vec<_> = group.commands.iter().filter_map(Command::action).collect();
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
    for command in &group.commands {
        writeln!(text, "{:width$}{}", command.name, command.summary).expect("a String takes any text");
    }
    text.push_str("\n'deis help [command]' shows more about one of them.\n");
    text
}

/// All about one command. Values are shown as in usage lines, `--app=<app>`.
pub fn command(command: &Command) -> String {
    let has_value = |arg: &clap::Arg| !arg.is_positional() && arg.get_value_names().is_some();
    let mut shown = command.clap.clone().mut_args(|arg| {
        let has_value = has_value(&arg);
        arg.require_equals(has_value)
    });
    shown.render_help().to_string()
}

fn row(text: &mut String, name: &str, summary: &str) {
    writeln!(text, "  {name:16}{summary}").expect("a String takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_shows_an_example_and_says_what_it_does() {
        for command in commands::all() {
            let help = self::command(command);
            assert!(help.contains("\nExamples:\n  $ deis "), "{} has no example", command.name);
            assert!(command.summary.ends_with('.'), "{} has no sentence", command.name);
            assert!(help.contains(&format!("{}\n", command.usage_line)), "{}", command.name);
        }
    }

    #[test]
    fn whatever_lists_or_shows_does_so_in_json_too() {
        let shows = |command: &Command| {
            let action = command.action().unwrap_or(command.name);
            matches!(
                action,
                "list"
                    | "info"
                    | "auto"
                    | "whoami"
                    | "version"
                    | "branch"
                    | "kind"
                    | "detect"
                    | "builder"
                    | "stacks"
            )
        };
        for command in commands::all() {
            let takes_output = command.clap.get_arguments().any(|arg| arg.get_long() == Some("output"));
            assert_eq!(takes_output, shows(command), "{}", command.name);
        }
    }

    #[test]
    fn every_shortcut_leads_to_a_command() {
        for (name, target) in shortcuts::SHORTCUTS {
            assert!(commands::find(target).is_some(), "{name}");
        }
    }
}
