//! `config:pull` and `config:push`: values as `KEY=value` lines of a file `.env`, without quoting rules.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::set_all;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::grammar::Matches;
use crate::listing;
use crate::profile::replace;
use crate::prompt;
use crate::terminal::{self, say};

const FILE: &str = ".env";

pub fn pull(context: &Context, matches: &Matches) -> Outcome {
    let session = context.app_session(matches)?;
    let remote: BTreeMap<_, _> =
        listing::sorted(&session.client.config(&session.app)?.values).into_iter().collect();
    if !terminal::stdout_is_device() {
        say!("{}", lines(&remote));
        return Ok(());
    }
    let exists = Path::new(FILE).exists();
    if exists && !matches.has("overwrite") {
        return Err(Failure::new(format!("{FILE} already exists, pass -o to overwrite")));
    }
    let values = if exists && matches.has("interactive") { merged(&read(FILE)?, remote)? } else { remote };
    replace(Path::new(FILE), lines(&values).as_bytes())
        .map_err(|error| Failure::new(format!("writing {FILE}: {error}")))
}

fn lines(values: &BTreeMap<String, String>) -> String {
    values.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// What the file holds with what the app has; where they differ the user decides.
fn merged(file: &str, remote: BTreeMap<String, String>) -> Outcome<BTreeMap<String, String>> {
    let pairs = file.lines().filter_map(|line| line.trim_matches('\r').split_once('='));
    let mut values: BTreeMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    for (key, new) in remote {
        let keeps = match values.get(&key) {
            Some(old) if *old != new => !prompt::yes(&format!("{key}: overwrite {old} with {new}? (y/N) "))?,
            _ => false,
        };
        if !keeps {
            values.insert(key, new);
        }
    }
    Ok(values)
}

pub fn push(context: &Context, matches: &Matches) -> Outcome {
    let session = context.app_session(matches)?;
    // A pipe or a file wins; `/dev/null`, as services have it, is no input.
    let text = if terminal::stdin_is_device() {
        read(matches.value("path").unwrap_or(FILE))?
    } else {
        let mut text = String::new();
        io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(format!("reading stdin: {error}")))?;
        text
    };
    let words = text.split('\n').map(|line| line.trim_matches('\r')).filter(|line| !line.is_empty());
    set_all(&session, &words.map(str::to_owned).collect::<Vec<_>>())
}

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!("open {path}: no such file or directory")),
        _ => Failure::new(format!("open {path}: {error}")),
    })
}
