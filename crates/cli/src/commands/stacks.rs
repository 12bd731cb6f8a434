//! The stacks of the platform, and that of an app.

use serde_json::json;

use crate::command::{Command, Matches, app, one, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::sayln;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("stacks", "[options]", "Lists the stacks that applications are built on.", list)
            .about("With -a the stack of that application has a star.")
            .args([app(), output()])
            .examples(&["deis stacks", "deis stacks -a blog", "deis stacks -o json"]),
        Command::new("stacks:set", "<name> [options]", "Chooses the stack of an application.", set)
            .about("The next push is built on it. Until then the application runs on the stack that it was built on.")
            .args([one("name", "the name of the stack"), app()])
            .examples(&["deis stacks:set trixie -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let all = session.client.stacks()?.stacks;
    let chosen = match matches.value("app") {
        Some(app) => session.client.settings(app)?.stack,
        None => None,
    };
    if matches.wants_json() {
        return listing::json(&json!({ "stacks": all, "app_stack": chosen }));
    }
    sayln!("=== Stacks");
    for stack in &all {
        let star = if chosen.as_ref() == Some(&stack.name) { "*" } else { "" };
        let default = if stack.default { " (default)" } else { "" };
        sayln!("{star}{}{default}  {}", stack.name, stack.toolchains.join(" "));
    }
    Ok(())
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let name = matches.words().first().map(String::as_str).unwrap_or_default();
    let progress = Spinner::start(format_args!("Setting the stack of {} to {name}... ", session.app));
    session.client.change_settings(&session.app, &json!({ "stack": name }))?;
    progress.done(format_args!("done"));
    sayln!("The next push of {} is built on {name}.", session.app);
    Ok(())
}
