//! The addresses that may reach an app.

use api::whitelist::Whitelist;
use clap::Arg;

use crate::command::{Command, Matches, app, one, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::sayln;

fn addresses() -> Arg {
    one("addresses", "addresses and networks joined by commas, such as `10.0.1.0/24,121.212.121.212`")
}

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "whitelist:add",
            "<addresses> [options]",
            "Adds addresses to an application's whitelist.",
            add,
        )
        .args([addresses(), app()])
        .examples(&["deis whitelist:add 10.0.1.0/24,121.212.121.212 -a blog"]),
        Command::new("whitelist:list", "[options]", "Lists addresses that may reach an application.", list)
            .args([app(), output()])
            .examples(&["deis whitelist -a blog"]),
        Command::new(
            "whitelist:remove",
            "<addresses> [options]",
            "Removes addresses from an application's whitelist.",
            remove,
        )
        .args([addresses(), app()])
        .examples(&["deis whitelist:remove 121.212.121.212 -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let addresses = session.client.whitelist(&session.app)?.addresses;
    if matches.wants_json() {
        return listing::json(&addresses);
    }
    sayln!("=== {} Whitelisted Addresses", session.app);
    for address in addresses {
        sayln!("{address}");
    }
    Ok(())
}

fn add(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let (text, addresses) = named(matches);
    let progress = Spinner::start(format_args!("Adding {text} to {} whitelist...\n", session.app));
    session.client.add_to_whitelist(&session.app, &addresses)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn remove(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let (text, addresses) = named(matches);
    let progress = Spinner::start(format_args!("Removing {text} from {} whitelist...\n", session.app));
    session.client.remove_from_whitelist(&session.app, &addresses)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn named(matches: &Matches) -> (&str, Whitelist) {
    let text = matches.word(0);
    (text, Whitelist { addresses: text.split(',').map(str::to_owned).collect() })
}
