//! The access log of an app: lines about its requests in its log.

use serde_json::json;

use crate::command::{Command, Matches, app, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::sayln;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "access-log:info",
            "[options]",
            "Prints whether requests are told in the app's log.",
            info,
        )
        .args([app(), output()])
        .examples(&["deis access-log"]),
        Command::new("access-log:on", "[options]", "Tells each request in the app's log.", on)
            .args([app()])
            .examples(&["deis access-log:on -a blog", "deis logs -f -a blog"]),
        Command::new("access-log:off", "[options]", "Tells requests in the app's log no longer.", off)
            .args([app()])
            .examples(&["deis access-log:off -a blog"]),
    ]
}

fn info(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let on = session.client.settings(&session.app)?.access_log.unwrap_or(false);
    if matches.wants_json() {
        return listing::json(&json!({ "access_log": on }));
    }
    sayln!("The access log is {}.", if on { "on" } else { "off" });
    Ok(())
}

fn on(context: &Context, matches: &Matches) -> CommandResult {
    switch(context, matches, true)
}

fn off(context: &Context, matches: &Matches) -> CommandResult {
    switch(context, matches, false)
}

fn switch(context: &Context, matches: &Matches, on: bool) -> CommandResult {
    let session = context.app_session(matches)?;
    let word = if on { "on" } else { "off" };
    let progress = Spinner::start(format_args!("Turning {word} the access log of {}... ", session.app));
    session.client.change_settings(&session.app, &json!({ "access_log": on }))?;
    progress.done(format_args!("done"));
    Ok(())
}
