//! Health checks: when a process is alive, and when it is ready for requests.

mod probe;

use clap::Arg;
use serde_json::{Map, Value, json};

use crate::command::{Command, Matches, app, many, one, output, valued};
use crate::context::{AppSession, Context};
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

/// Sent as it is: the controller takes whichever of the two types there is.
const TYPE_DEFAULT: &str = "web/cmd";

fn health_type() -> Arg {
    one("health-type", "`liveness` or `readiness`")
}

fn process_type() -> Arg {
    valued(None, "type", "type", "the process type; by default `web` or `cmd`")
}

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("healthchecks:list", "[options]", "Lists healthchecks for an application.", list)
            .args([app(), output(), valued(None, "type", "type", "the process type; by default all of them")])
            .examples(&["deis healthchecks -a blog"]),
        Command::new(
            "healthchecks:set",
            "<health-type> <probe-type> [options] [--] <args>...",
            "Sets healthchecks for an application.",
            set,
        )
        .about(
            "A process that is not live is restarted, one that is not ready gets no requests. A probe is `httpGet` \
             or `tcpSocket` with a port, or `exec` with a command.",
        )
        .args([
            health_type(),
            one("probe-type", "`httpGet`, `exec` or `tcpSocket`"),
            many("args", "the port, or the command of `exec`"),
            app(),
            process_type(),
            valued(Some('p'), "path", "path", "the path that `httpGet` asks for; by default `/`"),
            valued(None, "headers", "headers", "the headers that `httpGet` sends, such as `Host:x.com,X-A:1`"),
            valued(None, "initial-delay-timeout", "seconds", "seconds before the first probe; by default 50"),
            valued(None, "timeout-seconds", "seconds", "seconds that a probe may take; by default 50"),
            valued(None, "period-seconds", "seconds", "seconds between probes; by default 10"),
            valued(None, "success-threshold", "num", "probes that must pass; by default 1"),
            valued(None, "failure-threshold", "num", "probes that must fail; by default 3"),
        ])
        .examples(&[
            "deis healthchecks:set liveness httpGet 80",
            "deis healthchecks:set readiness exec -- /bin/check --quick",
        ]),
        Command::new(
            "healthchecks:unset",
            "[options] <health-type>...",
            "Unsets healthchecks for an application.",
            unset,
        )
        .args([many("health-type", "`liveness` or `readiness`"), app(), process_type()])
        .examples(&["deis healthchecks:unset liveness readiness"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let checks = session.client.config(&session.app)?.healthcheck;
    if matches.wants_json() {
        return listing::json(&checks);
    }
    show(&session.app, &checks, matches.value("type"));
    Ok(())
}

/// The checks of one type, or of all.
fn show(app: &str, checks: &Map<String, Value>, only: Option<&str>) {
    let mut types: Vec<&str> = match only {
        Some(only) => vec![only],
        None => checks.keys().map(String::as_str).collect(),
    };
    types.sort_unstable();
    let blocks: Vec<_> = types.iter().map(|name| probe::block(name, checks.get(*name))).collect();
    let body =
        if blocks.is_empty() { "No health checks configured.\n".to_owned() } else { blocks.join("\n") };
    say!("=== {app} Healthchecks\n\n{body}");
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let field = probe_field(matches.word(0))?;
    let probe = probe::parse(matches)?;
    let process_type = matches.value("type").unwrap_or(TYPE_DEFAULT);
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!("Applying {field} healthcheck... "));
    session
        .client
        .change_config(&session.app, &json!({ "healthcheck": { process_type: { field: probe } } }))?;
    progress.done(format_args!("done"));
    show_after_change(&session, process_type)
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    let fields = matches.words().iter().map(|word| probe_field(word)).collect::<CommandResult<Vec<_>>>()?;
    let nulls: Map<String, Value> = fields.into_iter().map(|field| (field.to_owned(), Value::Null)).collect();
    let process_type = matches.value("type").unwrap_or(TYPE_DEFAULT);
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!("Removing healthchecks... "));
    session.client.change_config(&session.app, &json!({ "healthcheck": { process_type: nulls } }))?;
    progress.done(format_args!("done"));
    show_after_change(&session, process_type)
}

fn show_after_change(session: &AppSession, process_type: &str) -> CommandResult {
    let checks = session.client.config(&session.app)?.healthcheck;
    sayln!();
    show(&session.app, &checks, Some(process_type));
    Ok(())
}

fn probe_field(health_type: &str) -> CommandResult<&'static str> {
    match health_type {
        "liveness" => Ok("livenessProbe"),
        "readiness" => Ok("readinessProbe"),
        other => {
            Err(Failure::new(format!("probe type {other} is invalid. Must be one of [liveness readiness]")))
        }
    }
}
