//! `config:pull` and `config:push`: values as a file `.env`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::{dotenv, set_all};
use crate::command::Matches;
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::profile::replace;
use crate::prompt;
use crate::terminal::{self, say};

const FILE: &str = ".env";
/// Longest file that is read, in bytes: many times what an app's config may hold.
const BYTES_MAX: u64 = 1024 * 1024;

pub fn pull(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let remote: BTreeMap<_, _> =
        listing::sorted(&session.client.config(&session.app)?.values).into_iter().collect();
    if !terminal::stdout_is_device() {
        say!("{}", dotenv::write(&remote));
        return Ok(());
    }
    let exists = Path::new(FILE).exists();
    if exists && !matches.has("overwrite") {
        return Err(Failure::new(format!("{FILE} already exists, pass -o to overwrite")));
    }
    let values = if exists && matches.has("interactive") {
        merged(pairs(FILE, &read(FILE)?)?, remote)?
    } else {
        remote
    };
    replace(Path::new(FILE), dotenv::write(&values).as_bytes())
        .map_err(|error| Failure::new(format!("writing {FILE}: {error}")))
}

/// Merges the file with the app's config; the user decides about differences.
fn merged(
    mut values: BTreeMap<String, String>,
    remote: BTreeMap<String, String>,
) -> CommandResult<BTreeMap<String, String>> {
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

pub fn push(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    // A pipe or a file wins; `/dev/null`, as services have it, is no input.
    let (name, text) = if terminal::stdin_is_device() {
        let path = matches.value("path").unwrap_or(FILE);
        (path, read(path)?)
    } else {
        let mut bytes = Vec::new();
        let stdin = io::stdin().lock().take(BYTES_MAX + 1).read_to_end(&mut bytes);
        stdin.map_err(|error| Failure::new(format!("reading stdin: {error}")))?;
        ("stdin", text_of("stdin", bytes)?)
    };
    let words = pairs(name, &text)?.into_iter().map(|(key, value)| format!("{key}={value}"));
    set_all(&session, &words.collect::<Vec<_>>())
}

fn pairs(name: &str, text: &str) -> CommandResult<BTreeMap<String, String>> {
    dotenv::parse(text).map_err(|error| Failure::new(format!("{name}: {error}")))
}

fn read(path: &str) -> CommandResult<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    file.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!("open {path}: no such file or directory")),
        _ => Failure::new(format!("open {path}: {error}")),
    })?;
    text_of(path, bytes)
}

fn text_of(name: &str, bytes: Vec<u8>) -> CommandResult<String> {
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Failure::new(format!("{name}: longer than {} KiB", BYTES_MAX / 1024)));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::new(format!("{name}: not UTF-8 (UTF-16, perhaps): save it as plain text in UTF-8"))
    })
}
