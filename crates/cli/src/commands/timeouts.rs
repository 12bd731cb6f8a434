//! Timeouts: the seconds that each process type has to end in, between TERM and KILL.

use serde_json::{Map, Value, json};

use crate::command::{Command, Matches, app, many, output};
use crate::context::{AppSession, Context};
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

/// Blanks between the longest key and the values.
const PAD: usize = 5;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "timeouts:list",
            "[options]",
            "Lists the seconds that processes of an application have to end in.",
            list,
        )
        .args([app(), output()])
        .examples(&["deis timeouts -a blog"]),
        Command::new(
            "timeouts:set",
            "[options] <type>=<seconds>...",
            "Sets the seconds that processes of an application have to end in.",
            set,
        )
        .about("A process is sent TERM, and KILL when it still runs after these seconds.")
        .args([many("type>=<seconds", "the process type and its seconds, such as `worker=120`"), app()])
        .examples(&["deis timeouts:set web=10 worker=120 -a blog"]),
        Command::new(
            "timeouts:unset",
            "[options] <type>...",
            "Unsets the seconds that processes of an application have to end in.",
            unset,
        )
        .args([many("type", "the process type that goes back to the platform's default"), app()])
        .examples(&["deis timeouts:unset worker -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let timeouts = session.client.config(&session.app)?.termination_grace_period;
    if matches.wants_json() {
        return listing::json(&timeouts);
    }
    show(&session.app, &timeouts);
    Ok(())
}

fn show(app: &str, timeouts: &Map<String, Value>) {
    let rows = if timeouts.is_empty() { "Default\n".to_owned() } else { listing::padded(timeouts, PAD) };
    say!("=== {app} Timeouts\n\n{rows}");
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let timeouts = matches.words().iter().map(|word| timeout(word)).collect::<CommandResult<_>>()?;
    apply(&context.app_session(matches)?, &timeouts)
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    apply(&context.app_session(matches)?, &listing::nulls(matches.words()))
}

fn apply(session: &AppSession, timeouts: &Map<String, Value>) -> CommandResult {
    let progress = Spinner::start(format_args!("Applying timeouts... "));
    session.client.change_config(&session.app, &json!({ "termination_grace_period": timeouts }))?;
    progress.done(format_args!("done"));
    let config = session.client.config(&session.app)?;
    sayln!();
    show(&session.app, &config.termination_grace_period);
    Ok(())
}

fn timeout(word: &str) -> CommandResult<(String, Value)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match word.split_once('=').filter(|(process, seconds)| !process.is_empty() && is_number(seconds)) {
        Some((process, seconds)) => Ok((process.to_owned(), Value::from(seconds))),
        None => Err(Failure::new(format!("{word} doesn't fit format type=#\nExamples: web=30 worker=300"))),
    }
}
