//! A command: a row of the table from which parsing, help and completions are made.

use crate::context::Context;
use crate::failure::CommandResult;
use crate::grammar::Matches;

/// A noun and what can be done with it.
pub struct CommandGroup {
    pub name: &'static str,
    /// The command that the bare group runs; without one it prints its help.
    pub default: Option<&'static str>,
    pub commands: &'static [Command],
}

pub type RunFn = fn(&Context, &Matches) -> CommandResult;

#[derive(Clone, Copy)]
pub struct Command {
    /// `group:action`.
    pub name: &'static str,
    /// Rest of the usage line after the name.
    pub usage: &'static str,
    pub summary: &'static str,
    /// More sentences for the help, or nothing.
    pub about: &'static str,
    pub arguments: &'static [Argument],
    pub options: &'static [Opt],
    /// Pairs of options that exclude each other.
    pub exclusive: &'static [(&'static str, &'static str)],
    /// Pairs of options whose first needs the second.
    pub dependent: &'static [(&'static str, &'static str)],
    /// Accepts and drops a `--` before the arguments.
    pub takes_dashes: bool,
    pub examples: &'static [&'static str],
    pub run: RunFn,
}

#[derive(Clone, Copy)]
pub struct Argument {
    pub name: &'static str,
    pub help: &'static str,
    pub arity: Arity,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    One,
    Optional,
    Many,
}

#[derive(Clone, Copy)]
pub struct Opt {
    pub short: Option<char>,
    pub long: &'static str,
    /// Name of the value; without one the option is a flag.
    pub value: Option<&'static str>,
    /// The values allowed; any where empty.
    pub choices: &'static [&'static str],
    pub required: bool,
    pub help: &'static str,
}

impl Command {
    pub const fn new(name: &'static str, usage: &'static str, summary: &'static str, run: RunFn) -> Self {
        Self {
            name,
            usage,
            summary,
            about: "",
            arguments: &[],
            options: &[],
            exclusive: &[],
            dependent: &[],
            takes_dashes: false,
            examples: &[],
            run,
        }
    }

    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    pub const fn arguments(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    pub const fn options(mut self, options: &'static [Opt]) -> Self {
        self.options = options;
        self
    }

    pub const fn exclusive(mut self, pairs: &'static [(&'static str, &'static str)]) -> Self {
        self.exclusive = pairs;
        self
    }

    pub const fn dependent(mut self, pairs: &'static [(&'static str, &'static str)]) -> Self {
        self.dependent = pairs;
        self
    }

    pub const fn takes_dashes(mut self) -> Self {
        self.takes_dashes = true;
        self
    }

    pub const fn examples(mut self, examples: &'static [&'static str]) -> Self {
        self.examples = examples;
        self
    }

    /// The one line that a wrong call is answered with.
    pub fn usage_line(&self) -> String {
        format!("Usage: deis {} {}", self.name, self.usage).trim_end().to_owned()
    }
}

pub const fn one(name: &'static str, help: &'static str) -> Argument {
    Argument { name, help, arity: Arity::One }
}

pub const fn optional(name: &'static str, help: &'static str) -> Argument {
    Argument { name, help, arity: Arity::Optional }
}

pub const fn many(name: &'static str, help: &'static str) -> Argument {
    Argument { name, help, arity: Arity::Many }
}

pub const fn flag(short: Option<char>, long: &'static str, help: &'static str) -> Opt {
    Opt { short, long, value: None, choices: &[], required: false, help }
}

pub const fn valued(short: Option<char>, long: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { short, long, value: Some(value), choices: &[], required: false, help }
}

impl Opt {
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }
}

/// The app to work on.
pub const APP: Opt =
    valued(Some('a'), "app", "app", "the app; by default the one that the git remote here leads to");
/// Number of rows to list.
pub const LIMIT: Opt = valued(Some('l'), "limit", "num", "the most rows to show");
/// JSON for scripts.
pub const OUTPUT: Opt =
    valued(Some('o'), "output", "format", "`text`, or `json` for scripts").choices(&["text", "json"]);
