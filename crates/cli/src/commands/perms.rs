//! Collaborators of an app, and administrators of the platform.

use crate::command::{APP, Command, CommandGroup, LIMIT, OUTPUT, flag, one};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::grammar::Matches;
use crate::listing;
use crate::terminal::{say, sayln};

const ADMIN: crate::command::Opt = flag(None, "admin", "the administrators of the platform");
const EXCLUSIVE: &[(&str, &str)] = &[("app", "admin")];

pub const GROUP: CommandGroup = CommandGroup {
    name: "perms",
    default: Some("perms:list"),
    commands: &[
        Command::new(
            "perms:list",
            "[-a --app=<app>|--admin|--admin --limit=<num>]",
            "Lists the collaborators of an application.",
            list,
        )
        .about("With --admin: lists the administrators of the platform.")
        .options(&[APP, ADMIN, LIMIT, OUTPUT])
        .exclusive(EXCLUSIVE)
        .dependent(&[("limit", "admin")])
        .examples(&["deis perms -a blog", "deis perms:list --admin"]),
        Command::new(
            "perms:create",
            "<username> [-a --app=<app>|--admin]",
            "Makes a user a collaborator of an application.",
            create,
        )
        .about("With --admin: makes the user an administrator of the platform.")
        .arguments(&[one("username", "the name of the user")])
        .options(&[APP, ADMIN])
        .exclusive(EXCLUSIVE)
        .examples(&["deis perms:create bob -a blog", "deis perms:create bob --admin"]),
        Command::new(
            "perms:delete",
            "<username> [-a --app=<app>|--admin]",
            "Takes the rights of a collaborator away.",
            delete,
        )
        .about("With --admin: the user is no administrator of the platform any more.")
        .arguments(&[one("username", "the name of the user")])
        .options(&[APP, ADMIN])
        .exclusive(EXCLUSIVE)
        .examples(&["deis perms:delete bob -a blog", "deis perms:delete bob --admin"]),
    ],
};

fn list(context: &Context, matches: &Matches) -> CommandResult {
    if matches.has("admin") {
        return list_administrators(context, matches);
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
