//! The versions of client and controller.

use std::sync::{Arc, Mutex};

use api::API_VERSION;
use api::client::{Address, Client};
use serde_json::json;

use crate::command::{Command, Matches, flag, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::terminal::sayln;

/// Version of this client; a build may stamp its own.
pub const CLIENT: &str = match option_env!("DEIS_CLIENT_VERSION") {
    Some(version) => version,
    None => concat!("v", env!("CARGO_PKG_VERSION")),
};

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("version", "[options]", "Displays the client version.", version)
            .args([
                flag(Some('a'), "all", "list the API versions of client and controller as well"),
                output(),
            ])
            .examples(&["deis version", "deis version --all"]),
    ]
}

fn version(context: &Context, matches: &Matches) -> CommandResult {
    if matches.wants_json() {
        let mut versions = json!({ "client": CLIENT, "client_api": API_VERSION });
        if matches.has("all") {
            versions["controller_api"] = controller_version(context)?.into();
        }
        return listing::json(&versions);
    }
    if !matches.has("all") {
        sayln!("{CLIENT}");
        return Ok(());
    }
    sayln!("Workflow CLI Version:            {CLIENT}");
    sayln!("Workflow CLI API Version:        {API_VERSION}");
    sayln!("Workflow Controller API Version: {}", controller_version(context)?);
    Ok(())
}

/// Asks without the check that warns: this command is how a user looks into such a warning.
fn controller_version(context: &Context) -> CommandResult<String> {
    let profile = context.load_profile()?;
    let seen = Arc::new(Mutex::new(String::new()));
    let note = Arc::clone(&seen);
    Client::new(Address::parse(&profile.controller)?, profile.ssl_verify)
        .with_user_agent(format!("Deis Client {CLIENT}"))
        .on_api_version(move |version| {
            version.clone_into(&mut note.lock().expect("nobody panics holding it"));
        })
        .healthz()?;
    let version = seen.lock().expect("nobody panics holding it").clone();
    Ok(version)
}
