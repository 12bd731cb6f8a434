//! Completions for shells, made from the tables of commands.

use std::fmt::Write;

use crate::command::{Command, CommandGroup, one};
use crate::commands::{self, shortcuts};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::grammar::{self, Matches};
use crate::terminal::say;

pub const GROUP: CommandGroup = CommandGroup {
    name: "completions",
    default: Some("completions"),
    commands: &[Command::new(
        "completions",
        "<shell>",
        "Prints a completion script for a shell.",
        completions,
    )
    .arguments(&[one("shell", "`bash`, `zsh` or `fish`")])
    .examples(&[
        "deis completions bash > /etc/bash_completion.d/deis",
        "deis completions zsh > \"${fpath[1]}/_deis\"",
        "deis completions fish > ~/.config/fish/completions/deis.fish",
    ])],
};

fn completions(_: &Context, matches: &Matches) -> CommandResult {
    let script = match matches.word(0) {
        "bash" => bash(),
        "zsh" => zsh(),
        "fish" => fish(),
        other => {
            return Err(Failure::new(format!("{other} is no shell with completions: bash, zsh or fish")));
        }
    };
    say!("{script}");
    Ok(())
}

/// Every word that can be typed first, and the command that it runs.
fn words() -> Vec<(&'static str, &'static Command)> {
    let all = commands::GROUPS.iter().flat_map(|group| group.commands);
    let named = all.map(|command| (command.name, command));
    let short =
        shortcuts::SHORTCUTS.iter().filter_map(|(name, target)| Some((*name, commands::find(target)?)));
    let groups =
        commands::GROUPS.iter().filter_map(|group| Some((group.name, commands::find(group.default?)?)));
    let mut words: Vec<_> = named.chain(short).chain(groups).collect();
    words.sort_by_key(|(name, _)| *name);
    words.dedup_by_key(|(name, _)| *name);
    words
}

fn long_options(command: &Command) -> Vec<String> {
    let long = |option: crate::command::Opt| format!("--{}{}", option.long, option.value.map_or("", |_| "="));
    grammar::options(command).map(long).collect()
}

/// The branches of a shell's `case`, one a command.
fn branches(action: impl Fn(&str) -> String) -> String {
    words().iter().fold(String::new(), |mut text, (name, command)| {
        let options = long_options(command).join(" ");
        writeln!(text, "    {name}) {} ;;", action(&options)).expect("a String takes any text");
        text
    })
}

/// Bash splits words at colons, so the current word is read from the line itself and cut back afterwards.
fn bash() -> String {
    let names: Vec<_> = words().into_iter().map(|(name, _)| name).collect();
    let branches = branches(|options| format!("words=\"{options}\""));
    format!(
        r#"# Completion of `deis` for bash.
_deis() {{
  local line="${{COMP_LINE:0:COMP_POINT}}" current words prefix
  local -a typed
  read -r -a typed <<< "$line"
  [[ "$line" == *" " ]] && typed+=("")
  current="${{typed[-1]}}"
  if (( ${{#typed[@]}} <= 2 )); then
    words="{names}"
  else
    case "${{typed[1]}}" in
{branches}    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ "$current" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
    prefix="${{current%"${{current##*:}}"}}"
    COMPREPLY=("${{COMPREPLY[@]#"$prefix"}}")
  fi
  [[ "${{COMPREPLY[0]}}" == *= ]] && compopt -o nospace
}}
complete -o default -F _deis deis
"#,
        names = names.join(" "),
    )
}

fn zsh() -> String {
    let described = words().iter().fold(String::new(), |mut text, (name, command)| {
        let name = name.replace(':', "\\:");
        writeln!(text, "    {}", quoted(&format!("{name}:{}", command.summary)))
            .expect("a String takes any text");
        text
    });
    let branches = branches(|options| format!("options=({options})"));
    format!(
        "#compdef deis\n# Completion of `deis` for zsh.\n_deis() {{\n  local -a commands options\n  commands=(\n\
         {described}  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n  \
         case \"$words[2]\" in\n{branches}  esac\n  compadd -S '' -- $options\n  _files\n}}\n\
         if [ \"$funcstack[1]\" = _deis ]; then _deis \"$@\"; else compdef _deis deis; fi\n"
    )
}

fn fish() -> String {
    let mut text = "# Completion of `deis` for fish.\n".to_owned();
    for (name, command) in words() {
        let summary = quoted(command.summary);
        writeln!(text, "complete -c deis -n __fish_use_subcommand -f -a {name} -d {summary}")
            .expect("a String takes any text");
        for option in grammar::options(command) {
            let short = option.short.map(|short| format!(" -s {short}")).unwrap_or_default();
            let value = option.value.map_or("", |_| " -r");
            let (long, help) = (option.long, quoted(option.help));
            writeln!(
                text,
                "complete -c deis -n '__fish_seen_subcommand_from {name}'{short} -l {long}{value} -d {help}"
            )
            .expect("a String takes any text");
        }
    }
    text
}

/// A text in single quotes; quotes in it are removed.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "’").replace('`', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_knows_every_command() {
        for script in [bash(), zsh().replace("\\:", ":"), fish()] {
            for (name, _) in words() {
                assert!(script.contains(name), "{name}");
            }
        }
    }

    #[test]
    fn a_shortcut_completes_the_options_of_its_command() {
        assert!(bash().contains("    scale) words=\"--app= --help\" ;;"));
    }
}
