//! Understands the words behind a command's name: options before, between or behind the arguments,
//! unambiguous prefixes of long options, values attached or apart.

use std::collections::BTreeMap;

use crate::command::{Arity, Command, Opt};
use crate::failure::{CommandResult, Failure};

const HELP: Opt = crate::command::flag(Some('h'), "help", "print this help");

/// Result of parsing the arguments of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum ParsedCommand {
    Run(Matches),
    Help,
    /// The call is wrong; the reason where it can be named.
    Wrong(Option<String>),
}

/// Options by their long name, and the arguments in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Matches {
    options: BTreeMap<&'static str, String>,
    words: Vec<String>,
}

impl Matches {
    /// The value of an option, if it was given.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// Returns true if an option was given.
    pub fn has(&self, option: &str) -> bool {
        self.options.contains_key(option)
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

/// Parses the words behind the name of `command`.
pub fn parse(command: &Command, words: &[String]) -> ParsedCommand {
    let mut reading = CommandParser { command, matches: Matches::default(), wrong: None, help: false };
    reading.read(words);
    let CommandParser { matches, wrong, help, .. } = reading;
    match wrong.or_else(|| mismatch(command, &matches)) {
        _ if help => ParsedCommand::Help,
        Some(reason) => ParsedCommand::Wrong(reason),
        None => ParsedCommand::Run(matches),
    }
}

struct CommandParser<'a> {
    command: &'a Command,
    matches: Matches,
    /// The first fault, with its reason if there is one. Parsing continues, as `--help` may follow.
    wrong: Option<Option<String>>,
    help: bool,
}

impl CommandParser<'_> {
    fn read(&mut self, words: &[String]) {
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                let dashes = (!self.command.takes_dashes).then(|| word.clone());
                self.matches.words.extend(dashes.into_iter().chain(rest.cloned()));
                return;
            } else if let Some(long) = word.strip_prefix("--") {
                self.read_long(long, &mut rest);
            } else if word.len() > 1 && word.starts_with('-') {
                self.read_short(&word[1..], &mut rest);
            } else {
                self.matches.words.push(word.clone());
            }
        }
    }

    fn read_long(&mut self, word: &str, rest: &mut std::slice::Iter<'_, String>) {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        match self.find_long(name) {
            Err(reason) => self.fail(reason),
            Ok(option) => match (option.value, attached) {
                (None, Some(_)) => self.fail(Some(format!("--{} must not have an argument", option.long))),
                (None, None) => self.set(option, String::new()),
                (Some(_), Some(value)) => self.set(option, value.to_owned()),
                (Some(_), None) => self.set_from(option, rest),
            },
        }
    }

    fn read_short(&mut self, letters: &str, rest: &mut std::slice::Iter<'_, String>) {
        for (place, letter) in letters.char_indices() {
            let Some(option) = options(self.command).find(|option| option.short == Some(letter)) else {
                return self.fail(None);
            };
            if option.value.is_none() {
                self.set(option, String::new());
                continue;
            }
            let attached = &letters[place + letter.len_utf8()..];
            if attached.is_empty() {
                return self.set_from(option, rest);
            }
            return self.set(option, attached.to_owned());
        }
    }

    fn find_long(&self, name: &str) -> Result<Opt, Option<String>> {
        let meant: Vec<Opt> = options(self.command).filter(|option| option.long.starts_with(name)).collect();
        match meant.iter().find(|option| option.long == name).or(meant.first()) {
            None => Err(None),
            Some(option) if meant.len() == 1 || option.long == name => Ok(*option),
            Some(_) => {
                let names: Vec<_> = meant.iter().map(|option| format!("--{}", option.long)).collect();
                Err(Some(format!("--{name} is not a unique prefix: {}?", names.join(", "))))
            }
        }
    }

    fn set_from(&mut self, option: Opt, rest: &mut std::slice::Iter<'_, String>) {
        match rest.next() {
            Some(value) => self.set(option, value.clone()),
            None => self.fail(Some(format!("--{} requires argument", option.long))),
        }
    }

    fn set(&mut self, option: Opt, value: String) {
        if option.long == HELP.long {
            self.help = true;
        } else if !option.choices.is_empty() && !option.choices.contains(&value.as_str()) {
            self.fail(Some(format!("--{} must be {}", option.long, option.choices.join(" or "))));
        } else if self.matches.options.insert(option.long, value).is_some() {
            self.fail(Some(format!("--{} is given twice", option.long)));
        }
    }

    fn fail(&mut self, reason: Option<String>) {
        self.wrong.get_or_insert(reason);
    }
}

/// Options of a command, help included.
pub fn options(command: &Command) -> impl Iterator<Item = Opt> + use<> {
    command.options.iter().copied().chain([HELP])
}

/// Says whether something is missing, too much, or does not go together.
fn mismatch(command: &Command, matches: &Matches) -> Option<Option<String>> {
    let arity = |arity| command.arguments.iter().filter(|argument| argument.arity == arity).count();
    let least = arity(Arity::One) + arity(Arity::Many);
    let given = matches.words.len();
    let too_many = arity(Arity::Many) == 0 && given > command.arguments.len();
    let missing = command.options.iter().find(|option| option.required && !matches.has(option.long));
    let clash = command.exclusive.iter().find(|(one, other)| matches.has(one) && matches.has(other));
    let alone = command.dependent.iter().find(|(one, other)| matches.has(one) && !matches.has(other));
    if given < least || too_many {
        Some(None)
    } else if let Some(option) = missing {
        Some(Some(format!("--{} is required", option.long)))
    } else if let Some((one, other)) = clash {
        Some(Some(format!("--{one} and --{other} exclude each other")))
    } else {
        alone.map(|(one, other)| Some(format!("--{one} needs --{other}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{APP, LIMIT, OUTPUT, flag, many, optional, valued};

    const PLAIN: Command = Command::new("x:y", "[<id>] [options]", "", |_, _| Ok(()))
        .arguments(&[optional("id", "")])
        .options(&[
            APP,
            LIMIT,
            OUTPUT,
            flag(None, "all", ""),
            flag(Some('f'), "force", ""),
            valued(None, "alias", "x", ""),
        ]);
    const DASHES: Command = Command::new("x:run", "", "", |_, _| Ok(()))
        .arguments(&[many("command", "")])
        .options(&[APP])
        .takes_dashes();

    fn parsed(command: &Command, line: &str) -> ParsedCommand {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(command, &words)
    }

    fn matched(command: &Command, line: &str) -> Matches {
        match parsed(command, line) {
            ParsedCommand::Run(matches) => matches,
            other => panic!("`{line}` gave {other:?}"),
        }
    }

    #[test]
    fn options_stand_before_between_and_behind_arguments() {
        for line in
            ["-a foo bar", "bar -a foo", "bar --app=foo", "--app foo bar", "bar -afoo", "--ap foo bar"]
        {
            let matches = matched(&PLAIN, line);
            assert_eq!((matches.value("app"), matches.word(0)), (Some("foo"), "bar"), "{line}");
        }
    }

    #[test]
    fn flags_and_values_share_a_cluster_of_short_options() {
        let matches = matched(&PLAIN, "-fafoo");
        assert!(matches.has("force"));
        assert_eq!(matches.value("app"), Some("foo"));
    }

    #[test]
    fn an_ambiguous_prefix_is_refused_and_a_whole_name_wins() {
        assert_eq!(
            parsed(&PLAIN, "--al"),
            ParsedCommand::Wrong(Some("--al is not a unique prefix: --all, --alias?".to_owned()))
        );
        assert!(matched(&PLAIN, "--all").has("all"));
    }

    #[test]
    fn the_reason_is_named_where_it_is_known() {
        let wrong = |reason: &str| ParsedCommand::Wrong(Some(reason.to_owned()));
        assert_eq!(parsed(&PLAIN, "--all=true"), wrong("--all must not have an argument"));
        assert_eq!(parsed(&PLAIN, "--app"), wrong("--app requires argument"));
        assert_eq!(parsed(&PLAIN, "-o yaml"), wrong("--output must be text or json"));
        assert_eq!(parsed(&PLAIN, "-a x -a y"), wrong("--app is given twice"));
    }

    #[test]
    fn unknown_options_and_surplus_or_missing_arguments_are_wrong() {
        for line in ["--bogus", "-x", "one two"] {
            assert_eq!(parsed(&PLAIN, line), ParsedCommand::Wrong(None), "{line}");
        }
        assert_eq!(parsed(&DASHES, "-a foo"), ParsedCommand::Wrong(None));
    }

    #[test]
    fn help_wins_over_every_fault_before_the_dashes() {
        for line in ["-h", "--help", "--bogus -h", "one two three --he"] {
            assert_eq!(parsed(&PLAIN, line), ParsedCommand::Help, "{line}");
        }
        assert_eq!(parsed(&DASHES, "-a foo ls -h"), ParsedCommand::Help);
        assert_eq!(matched(&DASHES, "-a foo -- ls -h").words(), ["ls", "-h"]);
    }

    #[test]
    fn the_first_dashes_end_options_and_later_ones_are_words() {
        assert_eq!(matched(&DASHES, "-- ls -- -a x").words(), ["ls", "--", "-a", "x"]);
        assert_eq!(matched(&PLAIN, "-a x --").words(), ["--"]);
    }

    #[test]
    fn a_number_that_is_none_names_itself() {
        let failure = matched(&PLAIN, "-l x").number("limit").unwrap_err();
        assert!(failure.to_string().contains("could not convert x to int"));
        assert_eq!(matched(&PLAIN, "-l -3").number("limit").unwrap(), Some(-3));
    }
}
