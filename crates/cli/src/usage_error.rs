//! Wrong calls: clap's errors in the words of docs/spec/cli.md 2.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use crate::command::Command;

/// The reason that stands before the usage line; `None` where the usage line says it.
pub fn reason(command: &Command, error: &Error) -> Option<String> {
    let option = named(error, ContextKind::InvalidArg)
        .into_iter()
        .find(|name| name.starts_with('-') && name != "--")?;
    let other = named(error, ContextKind::PriorArg).into_iter().next().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => Some(unknown(command, &option, error)),
        ErrorKind::TooManyValues => Some(format!("{option} must not have an argument")),
        ErrorKind::InvalidValue => Some(invalid_value(&option, error)),
        ErrorKind::ArgumentConflict if option == other => Some(format!("{option} is given twice")),
        ErrorKind::ArgumentConflict => Some(format!("{option} and {other} exclude each other")),
        // A missing argument is seen in the usage line, also where an option is missing too.
        ErrorKind::MissingRequiredArgument if !lacks_argument(error) => Some(format!("{option} is required")),
        _ => None,
    }
}

/// What asks for help works behind any mistake, but not behind a `--`.
pub fn asks_help(words: &[String]) -> bool {
    let is_help = |word: &String| word == "-h" || (word.len() > 2 && "--help".starts_with(word.as_str()));
    words.iter().take_while(|word| *word != "--").any(is_help)
}

fn unknown(command: &Command, option: &str, error: &Error) -> String {
    let longs = command.clap.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?)));
    let meant: Vec<_> = longs.filter(|long| option.starts_with("--") && long.starts_with(option)).collect();
    if !meant.is_empty() {
        return format!("{option} is not a unique prefix: {}?", meant.join(", "));
    }
    let similar = named(error, ContextKind::SuggestedArg).pop();
    let similar = similar.map(|similar| format!("; did you mean {similar}?")).unwrap_or_default();
    format!("deis {} has no option {option}{similar}", command.name)
}

fn invalid_value(option: &str, error: &Error) -> String {
    let given = texts(error, ContextKind::InvalidValue).concat();
    match texts(error, ContextKind::ValidValue) {
        choices if !given.is_empty() && !choices.is_empty() => {
            format!("{option} must be {}", choices.join(" or "))
        }
        _ => format!("{option} requires argument"),
    }
}

fn lacks_argument(error: &Error) -> bool {
    named(error, ContextKind::InvalidArg).iter().any(|name| !name.starts_with('-'))
}

/// Names of options and arguments, without the values behind them.
fn named(error: &Error, kind: ContextKind) -> Vec<String> {
    let name = |text: &String| text.split([' ', '=']).next().unwrap_or_default().to_owned();
    texts(error, kind).iter().map(name).collect()
}

fn texts(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}
