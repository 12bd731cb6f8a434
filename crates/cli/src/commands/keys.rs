//! SSH keys, with which a user pushes code.

use std::fs;
use std::path::{Path, PathBuf};

use api::keys::NewKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::command::{Command, Matches, limit, one, optional, output};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::profile::home;
use crate::prompt;
use crate::terminal::{say, sayln};

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("keys:list", "[options]", "Lists your SSH keys.", list)
            .args([limit(), output()])
            .examples(&["deis keys:list"]),
        Command::new("keys:add", "[<name>] [<key>]", "Adds an SSH key to push code with.", add)
            .about("Without a key, those in ~/.ssh are offered.")
            .args([
                optional("name", "the name of the key; by default its comment"),
                optional("key", "the file with the public key"),
            ])
            .examples(&[
                "deis keys:add",
                "deis keys:add ~/.ssh/id_ed25519.pub",
                "deis keys:add laptop ~/.ssh/id.pub",
            ]),
        Command::new("keys:remove", "<key>", "Removes an SSH key.", remove)
            .args([one("key", "the name of the key")])
            .examples(&["deis keys:remove laptop"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let keys = session.client.keys(session.limit(matches)?)?;
    if matches.wants_json() {
        return listing::json(&keys.results);
    }
    say!(
        "{}",
        listing::heading(&format!("{} Keys", session.profile.username), keys.results.len(), keys.count)
    );
    let width = keys.results.iter().map(|key| key.id.chars().count()).max().unwrap_or(0) + 1;
    for key in &keys.results {
        sayln!("{:width$}{}", key.id, shortened(key.public.trim()));
    }
    Ok(())
}

/// The first 16 and the last 10 characters of a key.
fn shortened(public: &str) -> String {
    let characters: Vec<char> = public.chars().collect();
    if characters.len() <= 26 {
        return public.to_owned();
    }
    let part = |part: &[char]| part.iter().collect::<String>();
    format!("{}...{}", part(&characters[..16]), part(&characters[characters.len() - 10..]))
}

fn add(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let (name, file) = match (matches.word(0), matches.word(1)) {
        ("", "") => ("", None),
        (only, "") if Path::new(only).is_file() => ("", Some(only)),
        (name, "") => (name, None),
        (name, file) => (name, Some(file)),
    };
    let key = match file {
        Some(file) => PublicKeyFile::read(Path::new(file))?,
        None => choose()?,
    };
    let id = if name.is_empty() { key.id.clone() } else { name.to_owned() };
    say!("Uploading {} to deis... ", key.file_name);
    session.client.add_key(&NewKey { id, public: key.text })?;
    sayln!("done");
    Ok(())
}

fn remove(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let id = matches.word(0);
    say!("Removing {id} SSH Key... ");
    session.client.remove_key(id)?;
    sayln!("done");
    Ok(())
}

/// A key file that was read.
struct PublicKeyFile {
    /// Its comment, else the file's name up to its first dot.
    id: String,
    file_name: String,
    /// The file as it is.
    text: String,
}

impl PublicKeyFile {
    fn read(path: &Path) -> CommandResult<Self> {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let invalid = || Failure::new(format!("{} is not a valid ssh key", path.display()));
        Self::parse(path, text).ok_or_else(invalid)
    }

    fn parse(path: &Path, text: String) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (kind, blob) = (words.next()?, words.next()?);
        let is_known = matches!(kind, "ssh-rsa" | "ssh-dss" | "ssh-ed25519") || kind.starts_with("ecdsa-");
        if !is_known || STANDARD.decode(blob).is_err() {
            return None;
        }
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let comment = words.collect::<Vec<_>>().join(" ");
        let stem = file_name.split('.').next().unwrap_or(&file_name).to_owned();
        let id = if comment.is_empty() { stem } else { comment };
        Some(Self { id, file_name, text })
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::new(format!("open {}: no such file or directory", path.display()))
        }
        _ => Failure::new(format!("open {}: {error}", path.display())),
    }
}

/// Lets the user choose one of the keys in `~/.ssh`.
fn choose() -> CommandResult<PublicKeyFile> {
    let mut keys = own_keys()?;
    sayln!("Found the following SSH public keys:");
    for (number, key) in keys.iter().enumerate() {
        sayln!("{}) {} {}", number + 1, key.file_name, key.id);
    }
    sayln!("0) Enter path to pubfile (or use keys:add <key_path>)");
    let answer = prompt::word("Which would you like to use with Deis? ")?;
    let chosen: usize =
        answer.parse().map_err(|_| Failure::new(format!("{answer} is not a valid integer")))?;
    match chosen {
        0 => PublicKeyFile::read(&PathBuf::from(prompt::word("Enter the path to the pubkey file: ")?)),
        chosen if chosen <= keys.len() => Ok(keys.swap_remove(chosen - 1)),
        chosen => Err(Failure::new(format!("{chosen} is not a valid option"))),
    }
}

fn own_keys() -> CommandResult<Vec<PublicKeyFile>> {
    let folder = home().map_err(|error| Failure::new(error.to_string()))?.join(".ssh");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "pub")).collect();
    files.sort();
    let mut keys = Vec::new();
    for file in files {
        match PublicKeyFile::read(&file) {
            Ok(key) => keys.push(key),
            Err(_) => sayln!("{} is not a valid ssh key", file.display()),
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(file: &str, text: &str) -> Option<String> {
        PublicKeyFile::parse(Path::new(file), text.to_owned()).map(|key| key.id)
    }

    #[test]
    fn a_key_is_named_by_its_comment_or_its_file() {
        assert_eq!(parsed("/x/id.pub", "ssh-rsa AAAA bob@host\n").as_deref(), Some("bob@host"));
        assert_eq!(parsed("/x/id.rsa.pub", "ecdsa-sha2-nistp256 AAAA\n").as_deref(), Some("id"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "ssh-rsa", "ssh-foo AAAA", "ssh-rsa A?A", "-----BEGIN OPENSSH PRIVATE KEY-----"] {
            assert_eq!(parsed("id.pub", text), None, "{text}");
        }
    }

    #[test]
    fn a_long_key_is_shortened_and_a_short_one_is_not() {
        assert_eq!(
            shortened("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ bob@host"),
            "ssh-rsa AAAAB3Nz...Q bob@host"
        );
        assert_eq!(shortened("ssh-rsa AAAA"), "ssh-rsa AAAA");
    }
}
