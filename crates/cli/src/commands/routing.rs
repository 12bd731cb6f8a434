//! Routability: whether the router serves an app at all.

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
            "routing:info",
            "[options]",
            "Prints info about the current application's routability.",
            info,
        )
        .args([app(), output()])
        .examples(&["deis routing"]),
        Command::new("routing:enable", "[options]", "Enables routability for an app.", enable)
            .args([app()])
            .examples(&["deis routing:enable -a blog"]),
        Command::new("routing:disable", "[options]", "Disables routability for an app.", disable)
            .args([app()])
            .examples(&["deis routing:disable -a blog"]),
    ]
}

fn info(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let routable = session.client.settings(&session.app)?.routable.unwrap_or(true);
    if matches.wants_json() {
        return listing::json(&json!({ "routable": routable }));
    }
    sayln!("Routing is {}.", if routable { "enabled" } else { "disabled" });
    Ok(())
}

fn enable(context: &Context, matches: &Matches) -> CommandResult {
    switch(context, matches, true, "Enabling")
}

fn disable(context: &Context, matches: &Matches) -> CommandResult {
    switch(context, matches, false, "Disabling")
}

fn switch(context: &Context, matches: &Matches, routable: bool, verb: &str) -> CommandResult {
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!("{verb} routing for {}... ", session.app));
    session.client.change_settings(&session.app, &json!({ "routable": routable }))?;
    progress.done(format_args!("done"));
    Ok(())
}
