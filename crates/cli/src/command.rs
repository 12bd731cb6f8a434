//! A command: how clap parses and describes it, and the function that runs it.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use crate::context::Context;
use crate::failure::{CommandResult, Failure};

const HELP: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}\n";

/// A noun and what can be done with it.
pub struct CommandGroup {
    pub name: &'static str,
    pub commands: Vec<Command>,
}

impl CommandGroup {
    pub fn new(commands: Vec<Command>) -> Self {
        let name = commands[0].name;
        Self { name: name.split(':').next().unwrap_or(name), commands }
    }

    /// The command that the bare group runs; without one it prints its help.
    pub fn default(&self) -> Option<&Command> {
        let action = |action: &str| self.commands.iter().find(|command| command.action() == Some(action));
        action("list").or_else(|| action("info"))
    }
}

pub type RunFn = fn(&Context, &Matches) -> CommandResult;

pub struct Command {
    /// `group:action`.
    pub name: &'static str,
    pub summary: &'static str,
    /// The line that answers a wrong call.
    pub usage_line: String,
    pub clap: clap::Command,
    pub run: RunFn,
}

impl Command {
    /// `usage` is the rest of the usage line after the name.
    pub fn new(name: &'static str, usage: &str, summary: &'static str, run: RunFn) -> Self {
        let usage = format!("deis {name} {usage}").trim_end().to_owned();
        let clap = clap::Command::new(name)
            .no_binary_name(true)
            .infer_long_args(true)
            .help_template(HELP)
            .next_line_help(true)
            .about(summary);
        Self { name, summary, usage_line: format!("Usage: {usage}"), clap: clap.override_usage(usage), run }
    }

    /// What follows the group's name; `None` for a command that is a group of its own.
    pub fn action(&self) -> Option<&'static str> {
        self.name.split(':').nth(1)
    }

    /// Adds sentences to the help.
    pub fn about(self, about: &'static str) -> Self {
        self.with(|clap| clap.before_help(about))
    }

    pub fn args<const N: usize>(self, args: [Arg; N]) -> Self {
        self.with(|clap| clap.args(args))
    }

    pub fn examples(self, lines: &[&str]) -> Self {
        let lines: String = lines.iter().map(|line| format!("\n  $ {line}")).collect();
        self.with(|clap| clap.after_help(format!("Examples:{lines}")))
    }

    fn with(mut self, change: impl FnOnce(clap::Command) -> clap::Command) -> Self {
        self.clap = change(self.clap);
        self
    }

    /// Parses the words behind the name. A `--` ends the options; where the usage line does not have it, it is an
    /// argument itself.
    pub fn parse(&self, words: &[String]) -> Result<Matches, clap::Error> {
        let mut words = words.to_vec();
        if let Some(dashes) = words.iter().position(|word| word == "--" && !self.usage_line.contains("[--]"))
        {
            words.insert(dashes, "--".to_owned());
        }
        let options = self.clap.clone().try_get_matches_from(words)?;
        let arguments =
            self.clap.get_positionals().filter_map(|argument| options.get_many(argument.get_id().as_str()));
        Ok(Matches { words: arguments.flatten().cloned().collect(), options })
    }
}

/// Options by their long name, and the arguments in their order.
#[derive(Debug)]
pub struct Matches {
    options: ArgMatches,
    words: Vec<String>,
}

impl Matches {
    /// The value of an option, if it was given.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.try_get_one::<String>(option).ok().flatten().map(String::as_str)
    }

    /// Returns true if an option was given.
    pub fn has(&self, option: &str) -> bool {
        self.options.value_source(option) == Some(ValueSource::CommandLine)
    }

    /// The whole number that an option holds.
    pub fn number(&self, option: &str) -> CommandResult<Option<i64>> {
        let Some(text) = self.value(option) else { return Ok(None) };
        let wrong =
            || Failure::new(format!("could not convert {text} to int: --{option} takes a whole number"));
        text.parse().map(Some).map_err(|_| wrong())
    }

    /// The argument in `place`; empty where it was left out.
    pub fn word(&self, place: usize) -> &str {
        self.words.get(place).map_or("", String::as_str)
    }

    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Returns true if the output is to be JSON.
    pub fn wants_json(&self) -> bool {
        self.value("output") == Some("json")
    }
}

pub fn one(name: &'static str, help: &'static str) -> Arg {
    optional(name, help).required(true)
}

pub fn optional(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).help(help)
}

pub fn many(name: &'static str, help: &'static str) -> Arg {
    one(name, help).num_args(1..)
}

pub fn flag(short: Option<char>, long: &'static str, help: &'static str) -> Arg {
    Arg::new(long).short(short).long(long).help(help).action(ArgAction::SetTrue)
}

/// An option whose value may begin with a hyphen.
pub fn valued(short: Option<char>, long: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(long).short(short).long(long).help(help).value_name(value).allow_hyphen_values(true)
}

/// The app to work on.
pub fn app() -> Arg {
    valued(Some('a'), "app", "app", "the app; by default the one that the git remote here leads to")
}

/// Number of rows to list.
pub fn limit() -> Arg {
    valued(Some('l'), "limit", "num", "the most rows to show")
}

/// JSON for scripts.
pub fn output() -> Arg {
    valued(Some('o'), "output", "format", "the format; `json` for scripts").value_parser(["text", "json"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage_error;

    fn plain() -> Command {
        Command::new("x:y", "[<id>] [options]", "", |_, _| Ok(())).args([
            optional("id", ""),
            app(),
            limit(),
            output(),
            flag(None, "all", ""),
            flag(Some('f'), "force", ""),
            valued(None, "alias", "x", ""),
        ])
    }

    fn dashes() -> Command {
        Command::new("x:run", "[--] <command>...", "", |_, _| Ok(())).args([many("command", ""), app()])
    }

    fn parsed(command: &Command, line: &str) -> Result<Matches, Option<String>> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        command.parse(&words).map_err(|error| usage_error::reason(command, &error))
    }

    fn matched(command: &Command, line: &str) -> Matches {
        parsed(command, line).unwrap_or_else(|reason| panic!("`{line}` gave {reason:?}"))
    }

    #[test]
    fn options_stand_before_between_and_behind_arguments() {
        for line in
            ["-a foo bar", "bar -a foo", "bar --app=foo", "--app foo bar", "bar -afoo", "--ap foo bar"]
        {
            let matches = matched(&plain(), line);
            assert_eq!((matches.value("app"), matches.word(0)), (Some("foo"), "bar"), "{line}");
        }
        assert_eq!(matched(&dashes(), "one -a foo two").words(), ["one", "two"]);
    }

    #[test]
    fn flags_and_values_share_a_cluster_of_short_options() {
        let matches = matched(&plain(), "-fafoo");
        assert!(matches.has("force") && !matches.has("all"));
        assert_eq!(matches.value("app"), Some("foo"));
    }

    #[test]
    fn an_ambiguous_prefix_is_refused_and_a_whole_name_wins() {
        let reason = parsed(&plain(), "--al").unwrap_err();
        assert_eq!(reason.unwrap(), "--al is not a unique prefix: --all, --alias?");
        assert!(matched(&plain(), "--all").has("all"));
    }

    #[test]
    fn the_reason_is_named_where_it_is_known() {
        for (line, reason) in [
            ("--all=true", "--all must not have an argument"),
            ("--app", "--app requires argument"),
            ("-o", "--output requires argument"),
            ("-o yaml", "--output must be text or json"),
            ("-a x -a y", "--app is given twice"),
            ("-f --force", "--force is given twice"),
            ("--limt=3", "deis x:y has no option --limt; did you mean --limit?"),
            ("--bogus", "deis x:y has no option --bogus"),
            ("-x", "deis x:y has no option -x"),
        ] {
            assert_eq!(parsed(&plain(), line).unwrap_err().as_deref(), Some(reason), "{line}");
        }
    }

    #[test]
    fn surplus_and_missing_arguments_leave_it_to_the_usage_line() {
        assert_eq!(parsed(&plain(), "one two").unwrap_err(), None);
        assert_eq!(parsed(&dashes(), "-a foo").unwrap_err(), None);
    }

    #[test]
    fn the_first_dashes_end_options_and_later_ones_are_words() {
        assert_eq!(matched(&dashes(), "-- ls -- -a x").words(), ["ls", "--", "-a", "x"]);
        assert_eq!(matched(&dashes(), "-a foo -- ls -h").words(), ["ls", "-h"]);
        assert_eq!(matched(&plain(), "-a x --").words(), ["--"]);
    }

    #[test]
    fn a_number_that_is_none_names_itself() {
        let failure = matched(&plain(), "-l x").number("limit").unwrap_err();
        assert!(failure.to_string().contains("could not convert x to int"));
        assert_eq!(matched(&plain(), "-l -3").number("limit").unwrap(), Some(-3));
    }
}
