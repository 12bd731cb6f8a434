//! Tags: on which nodes an app may run.

use serde_json::{Map, Value, json};

use crate::command::{Command, Matches, app, many, output};
use crate::context::{AppSession, Context};
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

/// Blanks between the longest key and the values.
const PAD: usize = 5;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("tags:list", "[options]", "Lists tags for an application.", list)
            .args([app(), output()])
            .examples(&["deis tags -a blog"]),
        Command::new("tags:set", "[options] <key>=<value>...", "Sets tags for an application.", set)
            .about("The app runs on nodes alone that have all of its tags as labels.")
            .args([many("key>=<value", "the tag and its value, such as `environ=prod`"), app()])
            .examples(&["deis tags:set environ=prod -a blog"]),
        Command::new("tags:unset", "[options] <key>...", "Unsets tags for an application.", unset)
            .args([many("key", "the tag to remove"), app()])
            .examples(&["deis tags:unset environ -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let tags = session.client.config(&session.app)?.tags;
    if matches.wants_json() {
        return listing::json(&tags);
    }
    show(&session.app, &tags);
    Ok(())
}

fn show(app: &str, tags: &Map<String, Value>) {
    say!("=== {app} Tags\n{}", listing::padded(tags, PAD));
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let tags = listing::pairs(matches.words(), "rack=1 environ=prod")?;
    apply(&context.app_session(matches)?, &tags)
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    apply(&context.app_session(matches)?, &listing::nulls(matches.words()))
}

fn apply(session: &AppSession, tags: &Map<String, Value>) -> CommandResult {
    let progress = Spinner::start(format_args!("Applying tags... "));
    session.client.change_config(&session.app, &json!({ "tags": tags }))?;
    progress.done(format_args!("done"));
    let tags = session.client.config(&session.app)?.tags;
    sayln!();
    show(&session.app, &tags);
    Ok(())
}
