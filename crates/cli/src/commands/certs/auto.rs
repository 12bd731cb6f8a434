//! Certificates that the platform gets by itself.

use api::auto_certs::{AutoCerts, AutoDomain};

use super::table::day;
use crate::command::Matches;
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

pub fn auto(context: &Context, matches: &Matches) -> CommandResult {
    let enabled = match matches.words().first().map(String::as_str) {
        None => return show(context, matches),
        Some("on") => true,
        Some("off") => false,
        Some(other) => return Err(Failure::new(format!("`{other}`: expected on or off"))),
    };
    let session = context.app_session(matches)?;
    let verb = if enabled { "Enabling" } else { "Disabling" };
    let progress = Spinner::start(format_args!("{verb} automatic certificates for {}... ", session.app));
    session.client.want_auto_certs(&session.app, enabled)?;
    progress.done(format_args!("done"));
    Ok(())
}

fn show(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let shown = session.client.auto_certs(&session.app)?;
    if matches.wants_json() {
        return listing::json(&shown);
    }
    let AutoCerts { app, enabled, offered, domains } = &shown;
    sayln!("=== {app} Automatic Certificates");
    match (offered, enabled) {
        (false, _) => sayln!("Not offered by this platform"),
        (true, true) => sayln!("On"),
        (true, false) => sayln!("Off"),
    }
    let width = domains.iter().map(|domain| domain.domain.chars().count()).max().unwrap_or(0);
    for domain in domains {
        say!("{:width$}  {}\n", domain.domain, state(domain));
    }
    Ok(())
}

/// State of a domain's certificate, in words.
fn state(domain: &AutoDomain) -> String {
    let AutoDomain { domain: _, state, certificate, expires, error, tried: _, next_try } = domain;
    let certificate = certificate.as_deref().unwrap_or_default();
    let expires = day(expires.as_deref());
    let error = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let next_try = next_try.as_deref().map(|time| format!("; next try at {time}")).unwrap_or_default();
    let renewal =
        if certificate.is_empty() { String::new() } else { format!("; until {expires} {certificate}") };
    match state.as_str() {
        "issued" => format!("{certificate}, until {expires}, then renewed"),
        "due" | "ordered" => format!("on its way{error}{renewal}"),
        "failed" => format!("failed{error}{next_try}{renewal}"),
        "uploaded" => format!("{certificate}, until {expires}, which you brought"),
        "platform" => "served with the platform's certificate".to_owned(),
        "wildcard" => "none: a wildcard needs a challenge in DNS, which is not offered".to_owned(),
        "off" if certificate.is_empty() => "none".to_owned(),
        "off" => format!("{certificate}, until {expires}, not renewed"),
        other => other.to_owned(),
    }
}
