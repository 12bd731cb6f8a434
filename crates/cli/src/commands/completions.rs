//! Completions for shells, made by clap from the tables of commands.

use clap_complete::Shell;

use crate::command::{Command, Matches, one};
use crate::commands::{self, shortcuts};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::terminal::say;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("completions", "<shell>", "Prints a completion script for a shell.", completions)
            .args([one("shell", "`bash`, `zsh` or `fish`")])
            .examples(&[
                "deis completions bash > /etc/bash_completion.d/deis",
                "deis completions zsh > \"${fpath[1]}/_deis\"",
                "deis completions fish > ~/.config/fish/completions/deis.fish",
            ]),
    ]
}

fn completions(_: &Context, matches: &Matches) -> CommandResult {
    let shell = match matches.word(0) {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => {
            return Err(Failure::new(format!("{other} is no shell with completions: bash, zsh or fish")));
        }
    };
    say!("{}", script(shell));
    Ok(())
}

fn script(shell: Shell) -> String {
    // In a description for zsh the first colon ends the name.
    let colon = if shell == Shell::Zsh { r"\:" } else { ":" };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree(colon), "deis", &mut script);
    String::from_utf8(script).expect("the generator writes text")
}

/// All that can be typed: `config:set` in one word, and in two, which is also how bash sees the colon.
fn tree(colon: &str) -> clap::Command {
    let words = words();
    let mut root = clap::Command::new("deis").disable_help_subcommand(true);
    for (word, command) in &words {
        let action = |name: &'static str| name.strip_prefix(word)?.strip_prefix(':');
        let actions = words.iter().filter_map(|(name, command)| Some(command.clone().name(action(name)?)));
        root = root.subcommand(command.clone().name(word.replace(':', colon)).subcommands(actions));
    }
    root
}

/// Every word that can be typed first, and the command that it runs.
fn words() -> Vec<(&'static str, clap::Command)> {
    let clap_of = |name| commands::find(name).map(|command: &Command| command.clap.clone());
    let named = commands::all().map(|command| (command.name, Some(command.clap.clone())));
    let short = shortcuts::SHORTCUTS.iter().map(|(name, target)| (*name, clap_of(target)));
    let groups = commands::GROUPS
        .iter()
        .map(|group| (group.name, group.default().map(|command| command.clap.clone())));
    let mut words: Vec<_> = named
        .chain(short)
        .chain(groups)
        .map(|(name, command)| {
            (name, command.unwrap_or_else(|| clap::Command::new(name)).disable_help_subcommand(true))
        })
        .collect();
    words.push(("help", clap::Command::new("help").about("Shows help.")));
    words.sort_by_key(|(name, _)| *name);
    words.dedup_by_key(|(name, _)| *name);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell).replace("\\:", ":");
            for (name, _) in words() {
                assert!(script.contains(name), "{name}");
            }
        }
    }

    #[test]
    fn a_shortcut_completes_the_options_of_its_command() {
        let script = script(Shell::Fish);
        assert!(script.contains("__fish_deis_using_subcommand scale\" -s a -l app -d"), "{script}");
    }
}
