//! The git remote that pushes to an app, for which no request is made, and the branch that deploys it.

use serde_json::json;

use crate::command::{Command, Matches, app, flag, optional, output, valued};
use crate::context::{AppSession, Context};
use crate::failure::{CommandResult, Failure};
use crate::git;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::sayln;

/// Name of the remote where the user names none.
pub const REMOTE_DEFAULT: &str = "deis";

/// Value of the API for any branch.
const ANY: &str = "*";

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "git:remote",
            "[options]",
            "Adds a git remote of an application to the repository.",
            remote,
        )
        .args([
            app(),
            valued(Some('r'), "remote", "name", "the name of the remote; by default `deis`"),
            flag(Some('f'), "force", "overwrite a remote of that name"),
        ])
        .examples(&["deis git:remote -a blog", "deis git:remote --remote=staging -a blog-staging"]),
        Command::new("git:remove", "[options]", "Removes the git remotes of an application.", remove)
            .args([app()])
            .examples(&["deis git:remove -a blog"]),
        Command::new(
            "git:branch",
            "[<name>] [options]",
            "Prints or chooses the branch that deploys an application.",
            branch,
        )
        .about(
            "A push of this branch is built and released. Other branches are kept when they are pushed along with it, \
             and refused when they are pushed alone. A new application keeps the first of main and master that is pushed.",
        )
        .args([
            optional("name", "the name of the branch; without it the branch is printed"),
            app(),
            flag(None, "any", "let any branch deploy, the last one of a push"),
            output(),
        ])
        .examples(&["deis git:branch -a blog", "deis git:branch trunk -a blog", "deis git:branch --any -a blog"]),
    ]
}

fn remote(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let name = matches.value("remote").unwrap_or(REMOTE_DEFAULT);
    let url = session.remote_url();
    match git::remotes()?.iter().find(|remote| remote.name == name) {
        None => create(&session, name, &url),
        Some(known) if known.url == url => {
            sayln!("Remote {name} already exists and is correctly configured for app {}.", session.app);
            Ok(())
        }
        Some(_) if matches.has("force") => {
            sayln!("Deleting git remote {name}.");
            git::remove_remote(name)?;
            create(&session, name, &url)
        }
        Some(known) => Err(Failure::new(format!(
            "Remote {name} already exists, please run 'deis git:remote -f' to overwrite\n\
             Existing remote URL: {}\n\
             When forced, will overwrite with: {url}",
            known.url
        ))),
    }
}

fn create(session: &AppSession, name: &str, url: &str) -> CommandResult {
    git::add_remote(name, url)?;
    sayln!("Git remote {name} successfully created for app {}.", session.app);
    Ok(())
}

fn branch(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let chosen = match (matches.words().first(), matches.has("any")) {
        (Some(_), true) => return Err(Failure::new("Name a branch or give --any, not both")),
        (Some(name), false) => name.as_str(),
        (None, true) => ANY,
        (None, false) => return show_branch(&session, matches),
    };
    let progress = match chosen {
        ANY => Spinner::start(format_args!("Letting any branch deploy {}... ", session.app)),
        name => Spinner::start(format_args!("Letting the branch {name} deploy {}... ", session.app)),
    };
    session.client.change_settings(&session.app, &json!({ "git_branch": chosen }))?;
    progress.done(format_args!("done"));
    Ok(())
}

fn show_branch(session: &AppSession, matches: &Matches) -> CommandResult {
    let app = &session.app;
    let branch = session.client.settings(app)?.git_branch;
    if matches.wants_json() {
        return listing::json(&json!({ "git_branch": branch }));
    }
    match branch.as_deref() {
        None => sayln!(
            "No branch is recorded for {app} yet: the next push keeps the one that was deployed last, or else the \
             first of main and master."
        ),
        Some(ANY) => sayln!("Any branch deploys {app}."),
        Some(name) => sayln!("The branch {name} deploys {app}."),
    }
    Ok(())
}

fn remove(context: &Context, matches: &Matches) -> CommandResult {
    remove_all(&context.app_session(matches)?)
}

/// Removes every remote that pushes to the app.
pub fn remove_all(session: &AppSession) -> CommandResult {
    let url = session.remote_url();
    let remotes: Vec<_> = git::remotes()?.into_iter().filter(|remote| remote.url == url).collect();
    if remotes.is_empty() {
        return Err(Failure::new("Could not find remote matching app in 'git remote -v'"));
    }
    for remote in remotes {
        git::remove_remote(&remote.name)?;
    }
    sayln!("Git remotes for app {} removed.", session.app);
    Ok(())
}
