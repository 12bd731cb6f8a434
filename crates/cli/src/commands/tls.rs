//! HTTPS enforcement of an app.

use crate::command::{Command, Matches, app, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::sayln;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("tls:info", "[options]", "Prints info about the current TLS settings.", info)
            .args([app(), output()])
            .examples(&["deis tls"]),
        Command::new("tls:enable", "[options]", "Enables https-only requests for an app.", enable)
            .args([app()])
            .examples(&["deis tls:enable -a blog"]),
        Command::new("tls:disable", "[options]", "Disables https-only requests for an app.", disable)
            .args([app()])
            .examples(&["deis tls:disable -a blog"]),
    ]
}

fn info(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let tls = session.client.tls(&session.app)?;
    if matches.wants_json() {
        return listing::json(&tls);
    }
    let enforced = tls.https_enforced.map_or("not set".to_owned(), |enforced| enforced.to_string());
    sayln!("=== {} TLS", session.app);
    sayln!("HTTPS Enforced: {enforced}");
    Ok(())
}

fn enable(context: &Context, matches: &Matches) -> CommandResult {
    switch(context, matches, true, "Enabling")
}

fn disable(context: &Context, matches: &Matches) -> CommandResult {
    switch(context, matches, false, "Disabling")
}

fn switch(context: &Context, matches: &Matches, enforced: bool, verb: &str) -> CommandResult {
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!("{verb} https-only requests for {}... ", session.app));
    session.client.enforce_https(&session.app, enforced)?;
    progress.done(format_args!("done"));
    Ok(())
}
