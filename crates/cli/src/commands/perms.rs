//! Collaborators of an app, and administrators of the platform.

use clap::Arg;

use crate::command::{Command, Matches, app, flag, limit, one, output};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::terminal::{say, sayln};

fn admin() -> Arg {
    flag(None, "admin", "the administrators of the platform").conflicts_with("app")
}

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "perms:list",
            "[-a --app=<app>|--admin|--admin --limit=<num>]",
            "Lists the collaborators of an application.",
            list,
        )
        .about("With --admin: lists the administrators of the platform.")
        .args([app(), admin(), limit(), output()])
        .examples(&["deis perms -a blog", "deis perms:list --admin"]),
        Command::new(
            "perms:create",
            "<username> [-a --app=<app>|--admin]",
            "Makes a user a collaborator of an application.",
            create,
        )
        .about("With --admin: makes the user an administrator of the platform.")
        .args([one("username", "the name of the user"), app(), admin()])
        .examples(&["deis perms:create bob -a blog", "deis perms:create bob --admin"]),
        Command::new(
            "perms:delete",
            "<username> [-a --app=<app>|--admin]",
            "Takes the rights of a collaborator away.",
            delete,
        )
        .about("With --admin: the user is no administrator of the platform any more.")
        .args([one("username", "the name of the user"), app(), admin()])
        .examples(&["deis perms:delete bob -a blog", "deis perms:delete bob --admin"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    if matches.has("admin") {
        return list_administrators(context, matches);
    }
    if matches.has("limit") {
        return Err(Failure::WrongCall("--limit needs --admin"));
    }
    let session = context.app_session(matches)?;
    let users = session.client.collaborators(&session.app)?.users;
    if matches.wants_json() {
        return listing::json(&users);
    }
    sayln!("=== {}'s Users", session.app);
    for user in users {
        sayln!("{user}");
    }
    Ok(())
}

fn list_administrators(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let page = session.client.administrators(session.limit(matches)?)?;
    if matches.wants_json() {
        return listing::json(&page.results);
    }
    say!("{}", listing::heading("Administrators", page.results.len(), page.count));
    for administrator in &page.results {
        sayln!("{}", administrator.username);
    }
    Ok(())
}

fn create(context: &Context, matches: &Matches) -> CommandResult {
    let username = matches.word(0);
    if matches.has("admin") {
        let session = context.session()?;
        say!("Adding {username} to system administrators... ");
        session.client.add_administrator(username)?;
    } else {
        let session = context.app_session(matches)?;
        say!("Adding {username} to {} collaborators... ", session.app);
        session.client.add_collaborator(&session.app, username)?;
    }
    sayln!("done");
    Ok(())
}

fn delete(context: &Context, matches: &Matches) -> CommandResult {
    let username = matches.word(0);
    if matches.has("admin") {
        let session = context.session()?;
        say!("Removing {username} from system administrators... ");
        session.client.remove_administrator(username)?;
    } else {
        let session = context.app_session(matches)?;
        say!("Removing {username} from {} collaborators... ", session.app);
        session.client.remove_collaborator(&session.app, username)?;
    }
    sayln!("done");
    Ok(())
}
