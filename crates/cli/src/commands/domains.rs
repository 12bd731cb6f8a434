//! Domains under which an app answers.

use crate::command::{Command, Matches, app, limit, one, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("domains:add", "<domain> [options]", "Lets an application answer under a domain.", add)
            .args([one("domain", "the domain, such as `www.example.com` or `*.example.com`"), app()])
            .examples(&["deis domains:add www.example.com"]),
        Command::new("domains:list", "[options]", "Lists the domains of an application.", list)
            .args([app(), limit(), output()])
            .examples(&["deis domains:list", "deis domains -a blog"]),
        Command::new(
            "domains:remove",
            "<domain> [options]",
            "Takes a domain away from an application.",
            remove,
        )
        .args([one("domain", "the domain"), app()])
        .examples(&["deis domains:remove www.example.com"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let domains = session.client.domains(&session.app, session.limit())?;
    if matches.wants_json() {
        return listing::json(&domains.results);
    }
    say!("{}", listing::heading(&format!("{} Domains", session.app), domains.results.len(), domains.count));
    for domain in &domains.results {
        sayln!("{}", domain.domain);
    }
    Ok(())
}

fn add(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let domain = matches.word(0);
    let progress = Spinner::start(format_args!("Adding {domain} to {}... ", session.app));
    session.client.add_domain(&session.app, domain)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn remove(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let domain = matches.word(0);
    let progress = Spinner::start(format_args!("Removing {domain} from {}... ", session.app));
    session.client.remove_domain(&session.app, domain)?;
    progress.done(format_args!("done"));
    Ok(())
}
