//! Config values: the environment variables of an app.

mod dotenv;
mod env_file;
mod value;

use api::config::Config;
use serde_json::{Map, Value, json};

use crate::command::{Command, Matches, app, flag, many, output, valued};
use crate::context::{AppSession, Context};
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

/// Blanks between the longest key and the values.
const PAD: usize = 6;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("config:list", "[options]", "Lists environment variables for an application.", list)
            .args([
                app(),
                output(),
                flag(None, "oneline", "print all on one line"),
                flag(None, "diff", "print one `KEY=value` a line, as for comparing"),
            ])
            .examples(&["deis config", "deis config --oneline -a blog"]),
        Command::new(
            "config:set",
            "<var>=<value> [<var>=<value>...] [options]",
            "Sets environment variables for an application.",
            set,
        )
        .about("SSH_KEY takes a private key, its base64, or the path of its file.")
        .args([many("var>=<value", "the variable and its value"), app()])
        .examples(&["deis config:set COLOR=teal", "deis config:set A=1 'B=two words' -a blog"]),
        Command::new(
            "config:unset",
            "<key>... [options]",
            "Unsets an environment variable for an application.",
            unset,
        )
        .args([many("key", "the variable to remove"), app()])
        .examples(&["deis config:unset COLOR"]),
        Command::new(
            "config:pull",
            "[options]",
            "Extract all environment variables from an application for local use.",
            env_file::pull,
        )
        .about("Writes a file `.env`, or to stdout where that is a pipe or a file.")
        .args([
            app(),
            flag(Some('i'), "interactive", "ask for each variable that differs"),
            flag(Some('o'), "overwrite", "overwrite a file `.env`"),
        ])
        .examples(&[
            "deis config:pull",
            "deis config:pull --overwrite --interactive",
            "deis config:pull > blog.env",
        ]),
        Command::new(
            "config:push",
            "[options]",
            "Sets environment variables for an application.",
            env_file::push,
        )
        .about("Reads `KEY=value` lines from a file, or from stdin where that is a pipe or a file.")
        .args([app(), valued(Some('p'), "path", "file", "the file to read; by default `.env`")])
        .examples(&[
            "deis config:push",
            "deis config:push --path=blog.env",
            "deis config:push < blog.env",
        ]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let values = session.client.config(&session.app)?.values;
    let lines = || listing::sorted(&values).into_iter().map(|(key, value)| format!("{key}={value}"));
    if matches.wants_json() {
        return listing::json(&values);
    }
    if matches.has("oneline") {
        if !values.is_empty() {
            sayln!("{}", lines().collect::<Vec<_>>().join(" "));
        }
    } else if matches.has("diff") {
        lines().for_each(|line| sayln!("{line}"));
    } else {
        show(&session.app, &values);
    }
    Ok(())
}

fn show(app: &str, values: &Map<String, Value>) {
    say!("=== {app} Config\n{}", listing::padded(values, PAD));
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    set_all(&context.app_session(matches)?, matches.words())
}

/// Sets what `KEY=value` words say, shown as the work of one release.
fn set_all(session: &AppSession, words: &[String]) -> CommandResult {
    let values = value::parse_all(words)?;
    if values.keys().any(|key| key.contains("HEALTHCHECK_")) {
        sayln!("Note: variables named HEALTHCHECK_ are deprecated as a way to describe health checks.");
        sayln!("They are set all the same. To have an app probed, use 'deis healthchecks:set'; see");
        sayln!("'deis help healthchecks:set'.");
    }
    let progress = Spinner::start(format_args!("Creating config... "));
    let changed = session.client.change_config(&session.app, &json!({ "values": values }))?;
    progress.done(format_args!("done{}", release_suffix(&changed)));
    show_after_change(session)
}

/// `, v4` where the controller says which release it made.
fn release_suffix(config: &Config) -> String {
    let release = config.values.get("WORKFLOW_RELEASE");
    release.map(|release| format!(", {}", listing::plain(release))).unwrap_or_default()
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let values = listing::nulls(matches.words());
    let progress = Spinner::start(format_args!("Removing config... "));
    session.client.change_config(&session.app, &json!({ "values": values }))?;
    progress.done(format_args!("done"));
    show_after_change(&session)
}

fn show_after_change(session: &AppSession) -> CommandResult {
    let values = session.client.config(&session.app)?.values;
    sayln!();
    show(&session.app, &values);
    Ok(())
}
