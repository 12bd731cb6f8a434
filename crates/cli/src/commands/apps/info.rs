//! `deis info`: an app with its processes, domains and labels.

use api::apps::Lock;
use serde_json::json;

use crate::command::Matches;
use crate::commands::{labels, ps};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::terminal::{say, sayln};

pub fn info(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let app = session.client.app(&session.app)?;
    let url = match session.url() {
        Err(Failure::Message { text, .. }) if text.starts_with("No domain") => text,
        url => url?,
    };
    let pods = session.client.pods(&session.app, session.limit())?.results;
    let domains = session.client.domains(&session.app, session.limit())?;
    let settings = session.client.settings(&session.app)?;
    if matches.wants_json() {
        return listing::json(&json!({
            "app": app, "url": url, "processes": pods, "domains": domains.results, "label": settings.label,
        }));
    }
    sayln!("=== {} Application", app.id);
    sayln!("updated:  {}", app.updated);
    sayln!("uuid:     {}", app.uuid);
    sayln!("created:  {}", app.created);
    sayln!("url:      {url}");
    sayln!("owner:    {}", app.owner);
    sayln!("id:       {}", app.id);
    if let Some(Lock { user, since, reason }) = &app.lock {
        let reason = reason.as_ref().map(|reason| format!(": \"{reason}\"")).unwrap_or_default();
        sayln!("locked:   by {user} since {since}{reason}");
    }
    sayln!();
    sayln!("{}", ps::processes(&app.id, pods));
    say!("{}", listing::heading(&format!("{} Domains", app.id), domains.results.len(), domains.count));
    for domain in &domains.results {
        sayln!("{}", domain.domain);
    }
    sayln!();
    sayln!("{}", labels::labels(&app.id, &settings.label));
    Ok(())
}
