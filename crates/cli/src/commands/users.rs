//! Users of the platform, for administrators.

use crate::command::{Command, Matches, limit, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::terminal::{say, sayln};

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("users:list", "[options]", "Lists all registered users.", list)
            .about("Administrators are marked with `*`. Needs administrator rights.")
            .args([limit(), output()])
            .examples(&["deis users:list", "deis users --limit=10"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let users = session.client.users(session.limit(matches)?)?;
    if matches.wants_json() {
        return listing::json(&users.results);
    }
    say!("{}", listing::heading("Users (*=admin)", users.results.len(), users.count));
    for user in &users.results {
        sayln!("{}{}", if user.is_superuser { "*" } else { "" }, user.username);
    }
    Ok(())
}
