//! One probe: from the command line to the wire, and from there to the list.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::command::Matches;
use crate::failure::{CommandResult, Failure};
use crate::listing::plain;

/// Arguments of `healthchecks:set` before the probe's own: health type and probe type.
const WORDS_BEFORE: usize = 2;

/// The probe that the user described.
pub fn parse(matches: &Matches) -> CommandResult<Value> {
    let number = |option, default| -> CommandResult<i64> { Ok(matches.number(option)?.unwrap_or(default)) };
    let (kind, action) = action(matches)?;
    Ok(json!({
        "initialDelaySeconds": number("initial-delay-timeout", 50)?,
        "timeoutSeconds": number("timeout-seconds", 50)?,
        "periodSeconds": number("period-seconds", 10)?,
        "successThreshold": number("success-threshold", 1)?,
        "failureThreshold": number("failure-threshold", 3)?,
        kind: action,
    }))
}

fn action(matches: &Matches) -> CommandResult<(&'static str, Value)> {
    let words = &matches.words()[WORDS_BEFORE..];
    let port = || {
        let text = words.first().map_or("", String::as_str);
        text.parse::<u16>().map_err(|error| Failure::new(format!("could not parse port: `{text}`: {error}")))
    };
    match matches.word(1) {
        "exec" => Ok(("exec", json!({ "command": words }))),
        "tcpSocket" => Ok(("tcpSocket", json!({ "port": port()? }))),
        "httpGet" => {
            let mut action = json!({ "path": matches.value("path").unwrap_or("/"), "port": port()? });
            if let Some(text) = matches.value("headers").filter(|text| !text.is_empty()) {
                action["httpHeaders"] = headers(text)?;
            }
            Ok(("httpGet", action))
        }
        _ => Err(Failure::new("Invalid probe type. Must be one of: \"httpGet\", \"exec\", \"tcpSocket\"")),
    }
}

/// `N:V,N2:V2` as a list of names and values.
fn headers(text: &str) -> CommandResult<Value> {
    let header = |header: &str| match header.split_once(':') {
        Some((name, value)) => Ok(json!({ "name": name.trim(), "value": value.trim() })),
        None => Err(Failure::new(format!(
            "could not parse headers: could not find separator in header ({header})"
        ))),
    };
    text.split(',').map(header).collect()
}

/// Both probes of a process type, as the list shows them.
pub fn block(process_type: &str, checks: Option<&Value>) -> String {
    let probe = |field: &str| checks.and_then(|checks| checks.get(field)).filter(|probe| !probe.is_null());
    format!(
        "{process_type}:\n--- Liveness\n{}\n--- Readiness\n{}",
        probe("livenessProbe").map_or("No liveness probe configured.\n".to_owned(), described),
        probe("readinessProbe").map_or("No readiness probe configured.\n".to_owned(), described),
    )
}

fn described(probe: &Value) -> String {
    let mut text = String::new();
    for (name, field) in [
        ("Initial Delay (seconds)", "initialDelaySeconds"),
        ("Timeout (seconds)", "timeoutSeconds"),
        ("Period (seconds)", "periodSeconds"),
        ("Success Threshold", "successThreshold"),
        ("Failure Threshold", "failureThreshold"),
    ] {
        writeln!(text, "{name}: {}", probe[field].as_i64().unwrap_or(0)).expect("a String takes any text");
    }
    let or_none = |action: &Value, shown: String| if action.is_null() { "N/A".to_owned() } else { shown };
    let (exec, http, tcp) = (&probe["exec"], &probe["httpGet"], &probe["tcpSocket"]);
    let command = or_none(exec, format!("Command=[{}]", joined(&exec["command"], plain)));
    let headers = joined(&http["httpHeaders"], |h| format!("{}={}", plain(&h["name"]), plain(&h["value"])));
    let path = plain(&http["path"]);
    let get = or_none(http, format!("Path=\"{path}\" Port={} HTTPHeaders=[{headers}]", plain(&http["port"])));
    let socket = or_none(tcp, format!("Port={}", plain(&tcp["port"])));
    text + &format!("Exec Probe: {command}\nHTTP GET Probe: {get}\nTCP Socket Probe: {socket}\n")
}

fn joined(list: &Value, shown: impl Fn(&Value) -> String) -> String {
    let entries: Vec<_> = list.as_array().into_iter().flatten().map(shown).collect();
    entries.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_split_at_commas_and_the_first_colon() {
        assert_eq!(
            headers("X-A: 1,Host:a:80").unwrap(),
            json!([{"name": "X-A", "value": "1"}, {"name": "Host", "value": "a:80"}])
        );
        let failure = headers("bad").unwrap_err().to_string();
        assert!(failure.ends_with("could not parse headers: could not find separator in header (bad)"));
    }

    #[test]
    fn a_block_shows_both_probes() {
        let probe = json!({
            "initialDelaySeconds": 50, "timeoutSeconds": 50, "periodSeconds": 10,
            "successThreshold": 1, "failureThreshold": 3,
            "httpGet": {"path": "/", "port": 80, "httpHeaders": [{"name": "X-A", "value": "1"}, {"name": "Host", "value": "x"}]},
        });
        assert_eq!(
            block("web/cmd", Some(&json!({ "livenessProbe": probe }))),
            "web/cmd:\n--- Liveness\nInitial Delay (seconds): 50\nTimeout (seconds): 50\nPeriod (seconds): 10\n\
             Success Threshold: 1\nFailure Threshold: 3\nExec Probe: N/A\n\
             HTTP GET Probe: Path=\"/\" Port=80 HTTPHeaders=[X-A=1 Host=x]\nTCP Socket Probe: N/A\n\n\
             --- Readiness\nNo readiness probe configured.\n"
        );
    }

    #[test]
    fn commands_and_ports_are_shown() {
        let text =
            described(&json!({ "exec": {"command": ["/bin/true", "-n"]}, "tcpSocket": {"port": 1500} }));
        assert!(text.contains(
            "Exec Probe: Command=[/bin/true -n]\nHTTP GET Probe: N/A\nTCP Socket Probe: Port=1500\n"
        ));
    }
}
