//! Maintenance mode: clients get a page while processes keep running.

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
            "maintenance:info",
            "[options]",
            "Prints info about the current maintenance mode.",
            info,
        )
        .args([app(), output()])
        .examples(&["deis maintenance"]),
        Command::new("maintenance:on", "[options]", "Enables maintenance mode for an app.", on)
            .args([app()])
            .examples(&["deis maintenance:on -a blog"]),
        Command::new("maintenance:off", "[options]", "Disables maintenance mode for an app.", off)
            .args([app()])
            .examples(&["deis maintenance:off -a blog"]),
    ]
}

fn info(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let on = session.client.settings(&session.app)?.maintenance.unwrap_or(false);
    if matches.wants_json() {
        return listing::json(&json!({ "maintenance": on }));
    }
    sayln!("Maintenance mode is {}.", if on { "on" } else { "off" });
    Ok(())
}

fn on(context: &Context, matches: &Matches) -> CommandResult {
    switch(context, matches, true, "Enabling")
}

fn off(context: &Context, matches: &Matches) -> CommandResult {
    switch(context, matches, false, "Disabling")
}

fn switch(context: &Context, matches: &Matches, on: bool, verb: &str) -> CommandResult {
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!("{verb} maintenance mode for {}... ", session.app));
    session.client.change_settings(&session.app, &json!({ "maintenance": on }))?;
    progress.done(format_args!("done"));
    Ok(())
}
