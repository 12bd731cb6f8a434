//! Services: paths of an app that go to another process type than the rest.

use api::services::Service;
use clap::Arg;

use crate::command::{Command, Matches, app, output, valued};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::sayln;

fn process_type() -> Arg {
    valued(Some('t'), "type", "type", "the process type, such as `webhooks`").required(true)
}

fn route() -> Arg {
    valued(Some('r'), "route", "paths", "patterns of paths joined by commas, such as `/hook,~ ^/x/`")
        .required(true)
}

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("services:list", "[options]", "Lists services of an application.", list)
            .args([app(), output()])
            .examples(&["deis services -a blog"]),
        Command::new(
            "services:add",
            "--type <type> --route <paths> [options]",
            "Adds a service to an application, or changes its paths.",
            add,
        )
        .args([app(), process_type(), route()])
        .examples(&["deis services:add --type webhooks --route /hook -a blog"]),
        Command::new(
            "services:remove",
            "--type <type> [options]",
            "Removes a service from an application.",
            remove,
        )
        .args([app(), process_type()])
        .examples(&["deis services:remove --type webhooks -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let services = session.client.services(&session.app)?.services;
    if matches.wants_json() {
        return listing::json(&services);
    }
    sayln!("=== {} Services", session.app);
    for Service { procfile_type, path_pattern } in services {
        sayln!("--- {procfile_type}:\n{path_pattern}");
    }
    Ok(())
}

fn add(context: &Context, matches: &Matches) -> CommandResult {
    let text = |option| matches.value(option).unwrap_or_default().to_owned();
    let service = Service { procfile_type: text("type"), path_pattern: text("route") };
    let session = context.app_session(matches)?;
    let progress =
        Spinner::start(format_args!("Adding service {} to {}... ", service.procfile_type, session.app));
    session.client.set_service(&session.app, &service)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn remove(context: &Context, matches: &Matches) -> CommandResult {
    let process_type = matches.value("type").unwrap_or_default();
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!("Removing service {process_type} from {}... ", session.app));
    session.client.remove_service(&session.app, process_type)?;
    progress.done(format_args!("done"));
    Ok(())
}
