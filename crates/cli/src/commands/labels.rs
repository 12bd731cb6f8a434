//! Labels: notes on an app.

use serde_json::{Map, Value, json};

use crate::command::{Command, Matches, app, many, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::say;

/// Blanks between the longest key and the values.
const PAD: usize = 6;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("labels:list", "[options]", "Prints a list of labels of the application.", list)
            .args([app(), output()])
            .examples(&["deis labels -a blog"]),
        Command::new("labels:set", "[options] <key>=<value>...", "Sets labels for an application.", set)
            .args([many("key>=<value", "the label and its value, such as `team=frontend`"), app()])
            .examples(&["deis labels:set team=frontend -a blog"]),
        Command::new("labels:unset", "[options] <key>...", "Unsets labels for an application.", unset)
            .args([many("key", "the label to remove"), app()])
            .examples(&["deis labels:unset team -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let settings = session.client.settings(&session.app)?;
    if matches.wants_json() {
        return listing::json(&settings.label);
    }
    say!("{}", labels(&session.app, &settings.label));
    Ok(())
}

/// The labels of an app under their heading.
pub fn labels(app: &str, labels: &Map<String, Value>) -> String {
    let rows = if labels.is_empty() {
        "No labels found.\n".to_owned()
    } else {
        listing::padded_with(labels, PAD, ":")
    };
    format!("=== {app} Label\n{rows}")
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let labels = listing::pairs(matches.words(), "git_repo=https://github.com/example/repo team=frontend")?;
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!("Applying labels on {}... ", session.app));
    session.client.change_settings(&session.app, &json!({ "label": labels }))?;
    progress.done(format_args!("done"));
    Ok(())
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let labels = listing::nulls(matches.words());
    let progress = Spinner::start(format_args!("Removing labels on {}... ", session.app));
    session.client.change_settings(&session.app, &json!({ "label": labels }))?;
    progress.done(format_args!("done"));
    Ok(())
}
