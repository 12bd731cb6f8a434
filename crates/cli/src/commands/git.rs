//! The git remote that pushes to an app. No request is made.

use crate::command::{APP, Command, Group, flag, valued};
use crate::context::{AppSession, Context};
use crate::failure::{Failure, Outcome};
use crate::git;
use crate::grammar::Matches;
use crate::terminal::sayln;

/// Name of the remote where the user names none.
pub const REMOTE_DEFAULT: &str = "deis";

pub const GROUP: Group = Group {
    name: "git",
    default: None,
    commands: &[
        Command::new(
            "git:remote",
            "[options]",
            "Adds a git remote of an application to the repository.",
            remote,
        )
        .options(&[
            APP,
            valued(Some('r'), "remote", "name", "the name of the remote; by default `deis`"),
            flag(Some('f'), "force", "overwrite a remote of that name"),
        ])
        .examples(&["deis git:remote -a blog", "deis git:remote --remote=staging -a blog-staging"]),
        Command::new("git:remove", "[options]", "Removes the git remotes of an application.", remove)
            .options(&[APP])
            .examples(&["deis git:remove -a blog"]),
    ],
};

fn remote(context: &Context, matches: &Matches) -> Outcome {
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

fn create(session: &AppSession, name: &str, url: &str) -> Outcome {
    git::add_remote(name, url)?;
    sayln!("Git remote {name} successfully created for app {}.", session.app);
    Ok(())
}

fn remove(context: &Context, matches: &Matches) -> Outcome {
    remove_all(&context.app_session(matches)?)
}

/// Removes every remote that pushes to the app.
pub fn remove_all(session: &AppSession) -> Outcome {
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
