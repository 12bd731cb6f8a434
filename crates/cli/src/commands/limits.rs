//! Limits on memory and CPU, per process type.

use api::config::Config;
use clap::Arg;
use serde_json::{Map, Value, json};

use crate::command::{Command, Matches, app, flag, many, output};
use crate::context::{AppSession, Context};
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

/// Blanks between the longest key and the values.
const PAD: usize = 5;

fn cpu() -> Arg {
    flag(None, "cpu", "limit CPU: cores such as `1` or `0.5`, thousandths such as `500m`")
        .conflicts_with("memory")
}

fn memory() -> Arg {
    flag(Some('m'), "memory", "limit memory, with unit B, K, M or G; this is the default")
}

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("limits:list", "[options]", "Lists resource limits for an application.", list)
            .args([app(), output()])
            .examples(&["deis limits -a blog"]),
        Command::new(
            "limits:set",
            "[options] <type>=<value>...",
            "Sets resource limits for an application.",
            set,
        )
        .about("A value is a limit, or a request and a limit: `64M/128M`.")
        .args([
            many("type>=<value", "the process type and its limit, such as `web=128M`"),
            app(),
            cpu(),
            memory(),
        ])
        .examples(&["deis limits:set web=128M worker=64M/256M", "deis limits:set --cpu web=500m"]),
        Command::new(
            "limits:unset",
            "[options] [--memory | --cpu] <type>...",
            "Unsets resource limits for an application.",
            unset,
        )
        .args([many("type", "the process type whose limit goes"), app(), cpu(), memory()])
        .examples(&["deis limits:unset web", "deis limits:unset --cpu web"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let config = session.client.config(&session.app)?;
    if matches.wants_json() {
        return listing::json(&json!({ "memory": config.memory, "cpu": config.cpu }));
    }
    show(&session.app, &config);
    Ok(())
}

fn show(app: &str, config: &Config) {
    say!("{}", shown(app, config));
}

/// A type that is not listed has the operator's default, where there is one.
fn shown(app: &str, config: &Config) -> String {
    let rows = |limits: &Map<String, Value>, default: Option<&str>| match (limits.is_empty(), default) {
        (true, None) => "Unlimited\n".to_owned(),
        (true, Some(default)) => format!("{default} each, the platform's default\n"),
        (false, None) => listing::padded(limits, PAD),
        (false, Some(default)) => {
            format!("{}others: {default} each, the platform's default\n", listing::padded(limits, PAD))
        }
    };
    let memory = rows(&config.memory, config.default_memory.as_deref());
    format!("=== {app} Limits\n\n--- Memory\n{memory}\n--- CPU\n{}", rows(&config.cpu, None))
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let limits = matches.words().iter().map(|word| limit(word)).collect::<CommandResult<_>>()?;
    apply(&context.app_session(matches)?, matches, &limits)
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    apply(&context.app_session(matches)?, matches, &listing::nulls(matches.words()))
}

fn apply(session: &AppSession, matches: &Matches, limits: &Map<String, Value>) -> CommandResult {
    let kind = if matches.has("cpu") { "cpu" } else { "memory" };
    let progress = Spinner::start(format_args!("Applying limits... "));
    session.client.change_config(&session.app, &json!({ kind: limits }))?;
    progress.done(format_args!("done"));
    let config = session.client.config(&session.app)?;
    sayln!();
    show(&session.app, &config);
    Ok(())
}

fn limit(word: &str) -> CommandResult<(String, Value)> {
    let fits = |(process_type, value): &(&str, &str)| {
        is_type(process_type) && value.splitn(2, '/').all(|amount| is_memory(amount) || is_cpu(amount))
    };
    match word.split_once('=').filter(fits) {
        Some((process_type, value)) => Ok((process_type.to_owned(), Value::from(value))),
        None => Err(Failure::new(format!(
            "{word} doesn't fit format type=#unit or type=# or type=#/#\n\
             Examples: web=2G worker=500M/1G web=300 web=500m web=0.5/1.5"
        ))),
    }
}

fn is_type(text: &str) -> bool {
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.split('-').all(|word| !word.is_empty() && is_word(word))
}

/// Digits and one or two letters that are units.
fn is_memory(text: &str) -> bool {
    let number = text.trim_end_matches(|letter: char| "bkmgBKMG".contains(letter));
    let units = text.len() - number.len();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && (1..=2).contains(&units)
}

/// At most five digits and dots, and an `m` for thousandths.
fn is_cpu(text: &str) -> bool {
    let number = text.strip_suffix('m').unwrap_or(text);
    (1..=5).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_type_and_an_amount_or_two() {
        for word in ["web=1G", "my-worker=500M/1G", "web=64mb", "web=300", "web=500m", "web=0.5", "web=1/2"] {
            assert!(limit(word).is_ok(), "{word}");
        }
    }

    #[test]
    fn the_platforms_default_is_shown_for_types_without_a_limit() {
        let text = |memory: Value, default: Option<&str>| {
            let memory = memory.as_object().expect("an object").clone();
            shown("blog", &Config { memory, default_memory: default.map(str::to_owned), ..Config::default() })
        };

        assert!(text(json!({}), None).contains("--- Memory\nUnlimited\n"));
        assert!(text(json!({}), Some("1G")).contains("--- Memory\n1G each, the platform's default\n"));
        let both = text(json!({"web": "64M"}), Some("1G"));
        assert!(both.contains("web     64M\nothers: 1G each, the platform's default\n"), "{both}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_examples() {
        for word in [
            "web=1X",
            "web",
            "web=",
            "=1G",
            "Web=1G",
            "web=G",
            "web=1Gbm",
            "web=123456",
            "web=1/2/3",
            "a--b=1",
        ] {
            let text = limit(word).unwrap_err().to_string();
            assert!(
                text.contains("doesn't fit format type=#unit or type=# or type=#/#\nExamples:"),
                "{word}"
            );
        }
    }
}
