//! The builder of Cloud Native Buildpacks of an app.

use serde_json::json;

use crate::command::{Command, Matches, app, flag, optional, output};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::sayln;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "builder",
            "[options]",
            "Prints the builder of Cloud Native Buildpacks of an application.",
            show,
        )
        .args([app(), output()])
        .examples(&["deis builder -a blog", "deis builder -o json"]),
        Command::new(
            "builder:set",
            "(<image> | --default) [options]",
            "Chooses the builder of an application.",
            set,
        )
        .about("The next push is built with its Cloud Native Buildpacks, whatever files the source has.")
        .args([
            optional("image", "the image of the builder, such as `builders/base:1`"),
            flag(None, "default", "use the builder of the platform"),
            app(),
        ])
        .examples(&["deis builder:set builders/base:1 -a blog", "deis builder:set --default"]),
        Command::new("builder:unset", "[options]", "Gives up the choice of a builder.", unset)
            .about("From then on each push decides how it is built; `deis builds:detect` shows it.")
            .args([app()])
            .examples(&["deis builder:unset -a blog"]),
    ]
}

fn show(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let app = &session.app;
    let settings = session.client.settings(app)?;
    let (builder, default) = (settings.builder, settings.default_builder);
    if matches.wants_json() {
        return listing::json(&json!({ "builder": builder, "default_builder": default }));
    }
    match builder.as_deref() {
        Some("default") => sayln!("Pushes to {app} are built with the builder of the platform."),
        Some(image) => sayln!("Pushes to {app} are built with {image}."),
        None => sayln!("No builder is chosen for {app}; `deis builds:detect` shows how a push is built."),
    }
    match default {
        Some(image) => sayln!("The builder of the platform is {image}."),
        None => sayln!("The platform has no builder of its own."),
    }
    Ok(())
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let builder = match (matches.words(), matches.has("default")) {
        ([image], false) => image.as_str(),
        ([], true) => "default",
        _ => return Err(Failure::new("give either the image of a builder or --default")),
    };
    let session = context.app_session(matches)?;
    let app = &session.app;
    let progress = Spinner::start(format_args!("Setting the builder of {app} to {builder}... "));
    session.client.change_settings(app, &json!({ "builder": builder }))?;
    progress.done(format_args!("done"));
    Ok(())
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let app = &session.app;
    let progress = Spinner::start(format_args!("Giving up the builder of {app}... "));
    session.client.change_settings(app, &json!({ "builder": "" }))?;
    progress.done(format_args!("done"));
    Ok(())
}
