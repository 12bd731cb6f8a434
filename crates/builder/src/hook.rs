//! git's pre-receive hook: a process that asks the builder and passes its words on to the pusher.
//!
//! It decides nothing. When the builder goes away it ends non-zero, so that git drops what was pushed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::refs::{REFS_MAX, RefUpdate};

/// Variables with the builder's socket and the id of the push.
pub(crate) const SOCKET_VARIABLE: &str = "WORKFLOW_PUSH_SOCKET";
pub(crate) const TOKEN_VARIABLE: &str = "WORKFLOW_PUSH_TOKEN";
/// Git's variables about objects in quarantine.
const QUARANTINE_VARIABLES: [&str; 3] =
    ["GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"];
/// Longest line on the socket, and longest input of the hook.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 1 << 20;

/// Request of the hook to the builder, one line of JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct HookRequest {
    pub token: String,
    pub quarantine: BTreeMap<String, PathBuf>,
    pub updates: Vec<RefUpdate>,
}

/// Response of the builder: any number of lines to show, then the end.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HookReply {
    Say(String),
    End { accepted: bool },
}

/// The whole of `workflow git-hook`.
pub fn hook_main() -> ExitCode {
    match ask() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask() -> Result<bool, String> {
    let variable = |name: &str| std::env::var(name).map_err(|_| "this hook runs in a push only".to_owned());
    let (socket, token) = (variable(SOCKET_VARIABLE)?, variable(TOKEN_VARIABLE)?);
    let gone = |_| "the platform stopped while this push was under way; push again".to_owned();
    let question = HookRequest { token, quarantine: quarantine()?, updates: updates()? };
    let mut line = serde_json::to_vec(&question).map_err(|error| error.to_string())?;
    line.push(b'\n');
    let mut stream = UnixStream::connect(socket).map_err(gone)?;
    stream.write_all(&line).map_err(gone)?;
    relay(BufReader::new(stream)).ok_or_else(|| gone(std::io::ErrorKind::UnexpectedEof.into()))
}

/// Shows what the builder says until it ends; `None` where it went away.
fn relay(mut answers: impl BufRead) -> Option<bool> {
    let mut line = String::new();
    loop {
        line.clear();
        answers.by_ref().take(MESSAGE_BYTES_MAX).read_line(&mut line).ok()?;
        match serde_json::from_str(&line).ok()? {
            // A pusher who is gone does not end the push.
            HookReply::Say(text) => drop(writeln!(std::io::stderr(), "{text}")),
            HookReply::End { accepted } => return Some(accepted),
        }
    }
}

fn quarantine() -> Result<BTreeMap<String, PathBuf>, String> {
    let here = std::env::current_dir().map_err(|error| format!("cannot find the repository: {error}"))?;
    let absolute = |name: &str| Some((name.to_owned(), here.join(std::env::var_os(name)?)));
    Ok(QUARANTINE_VARIABLES.into_iter().filter_map(absolute).collect())
}

/// The hook's input: `<old> <new> <ref>` a line.
fn updates() -> Result<Vec<RefUpdate>, String> {
    let mut text = Vec::new();
    let input = std::io::stdin().lock().take(MESSAGE_BYTES_MAX / 2).read_to_end(&mut text);
    input.map_err(|error| format!("cannot read git's list of refs: {error}"))?;
    let text = String::from_utf8_lossy(&text);
    let updates = text.lines().take(REFS_MAX + 1).map(|line| {
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        let (old, new, name) = (parts.next()?, parts.next()?, parts.next()?);
        Some(RefUpdate { old, new, name })
    });
    updates.collect::<Option<_>>().ok_or_else(|| "git's list of refs is not understood".to_owned())
}
