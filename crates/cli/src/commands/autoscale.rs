//! Autoscaling: how many of a process type run, by their use of CPU.

use clap::Arg;
use serde_json::{Map, Value, json};

use crate::command::{Command, Matches, app, one, output, valued};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::sayln;

fn process_type() -> Arg {
    one("process-type", "the process type, such as `web`")
}

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "autoscale:list",
            "[options]",
            "Prints a list of autoscale rules for the application.",
            list,
        )
        .args([app(), output()])
        .examples(&["deis autoscale -a blog"]),
        Command::new(
            "autoscale:set",
            "<process-type> --min=<min> --max=<max> --cpu-percent=<percent> [options]",
            "Sets an autoscale rule for a process type of an application.",
            set,
        )
        .about("The process type needs a CPU limit first: deis limits:set --cpu web=250m")
        .args([
            process_type(),
            app(),
            valued(None, "min", "min", "the fewest processes").required(true),
            valued(None, "max", "max", "the most processes").required(true),
            valued(None, "cpu-percent", "percent", "the use of CPU to aim for, in percent of the limit")
                .required(true),
        ])
        .examples(&["deis autoscale:set web --min=3 --max=8 --cpu-percent=75 -a blog"]),
        Command::new(
            "autoscale:unset",
            "<process-type> [options]",
            "Removes the autoscale rule of a process type of an application.",
            unset,
        )
        .args([process_type(), app()])
        .examples(&["deis autoscale:unset web -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let rules = session.client.settings(&session.app)?.autoscale;
    if matches.wants_json() {
        return listing::json(&rules);
    }
    sayln!("=== {} Autoscale\n", session.app);
    if rules.is_empty() {
        sayln!("No autoscale rules found.");
    }
    for (process_type, rule) in sorted(&rules) {
        sayln!("--- {process_type}:");
        sayln!("Min Replicas: {}", number(rule, "min"));
        sayln!("Max Replicas: {}", number(rule, "max"));
        sayln!("CPU: {}%", number(rule, "cpu_percent"));
    }
    Ok(())
}

fn sorted(rules: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut rules: Vec<_> = rules.iter().collect();
    rules.sort_by_key(|(process_type, _)| *process_type);
    rules
}

fn number(rule: &Value, field: &str) -> i64 {
    rule.get(field).and_then(Value::as_i64).unwrap_or(0)
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let number =
        |option| matches.number(option)?.ok_or_else(|| Failure::new(format!("--{option} is required")));
    let rule = json!({ "min": number("min")?, "max": number("max")?, "cpu_percent": number("cpu-percent")? });
    let process_type = matches.word(0);
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!(
        "Applying autoscale settings for process type {process_type} on {}... ",
        session.app
    ));
    session.client.change_settings(&session.app, &json!({ "autoscale": { process_type: rule } }))?;
    progress.done(format_args!("done"));
    Ok(())
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    let process_type = matches.word(0);
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!(
        "Removing autoscale for process type {process_type} on {}... ",
        session.app
    ));
    session.client.change_settings(&session.app, &json!({ "autoscale": { process_type: null } }))?;
    progress.done(format_args!("done"));
    Ok(())
}
