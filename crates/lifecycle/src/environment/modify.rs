//! Folders whose files change variables: `NAME`, `NAME.append`, `NAME.prepend`, `NAME.default`, `NAME.override`,
//! `NAME.delim`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Variables, joined, values};
use crate::failure::Result;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Append,
    Default,
    Override,
    Prepend,
}

/// Changes variables by the files of a folder, in alphabetical order; `plain` is the action of names without suffix.
pub fn change_by_folder(variables: &mut Variables, folder: &Path, plain: Action) -> Result<()> {
    let files = values(folder)?;
    for (file, value) in &files {
        if let Some((name, action)) = action_of(file, plain) {
            let delimiter = delimiter(&files, name);
            change(variables, name, action, value, delimiter);
        }
    }
    Ok(())
}

/// Splits a file's name at its first period; `None` for a delimiter and for suffixes that nobody knows.
fn action_of(file: &OsStr, plain: Action) -> Option<(&OsStr, Action)> {
    let bytes = file.as_bytes();
    let (name, suffix) = match bytes.iter().position(|byte| *byte == b'.') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &b""[..]),
    };
    let action = match suffix {
        b"" => plain,
        b"append" => Action::Append,
        b"default" => Action::Default,
        b"override" => Action::Override,
        b"prepend" => Action::Prepend,
        _ => return None,
    };
    // Neither an empty name nor one with `=` can be a variable.
    (!name.is_empty() && !name.contains(&b'=')).then_some((OsStr::from_bytes(name), action))
}

fn delimiter<'a>(files: &'a [(OsString, OsString)], name: &OsStr) -> &'a OsStr {
    let mut wanted = name.to_owned();
    wanted.push(".delim");
    files.iter().find(|(file, _)| *file == wanted).map_or(OsStr::new(""), |(_, value)| value)
}

fn change(variables: &mut Variables, name: &OsStr, action: Action, value: &OsStr, delimiter: &OsStr) {
    let old = variables.get(name).filter(|old| !old.is_empty());
    let new = match (action, old) {
        (Action::Override, _) | (_, None) => value.to_owned(),
        (Action::Default, Some(_)) => return,
        (Action::Append, Some(old)) => joined(old, delimiter, value),
        (Action::Prepend, Some(old)) => joined(value, delimiter, old),
    };
    // A value with a NUL cannot be given to a process.
    if !new.as_bytes().contains(&0) {
        variables.insert(name.to_owned(), new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(old: &str, files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).expect("a file");
        }
        let mut variables = Variables::from([("X".into(), old.into())]);
        change_by_folder(&mut variables, folder.path(), Action::Override).expect("changed");
        variables.remove(OsStr::new("X")).expect("X").into_string().expect("text")
    }

    #[test]
    fn each_suffix_has_its_action() {
        for (old, files, expected) in [
            ("a", &[("X", "b")][..], "b"),
            ("a", &[("X.override", "b")], "b"),
            ("a", &[("X.append", "b")], "ab"),
            ("a", &[("X.append", "b"), ("X.delim", ":")], "a:b"),
            ("", &[("X.append", "b"), ("X.delim", ":")], "b"),
            ("a", &[("X.prepend", "b"), ("X.delim", ":")], "b:a"),
            ("a", &[("X.default", "b")], "a"),
            ("", &[("X.default", "b")], "b"),
            ("a", &[("X.unknown", "b")], "a"),
            ("a", &[("X.append.more", "b")], "a"),
            ("a", &[("X", "b"), ("X.prepend", "c"), ("X.delim", ";")], "c;b"),
        ] {
            assert_eq!(changed(old, files), expected, "{old:?} {files:?}");
        }
    }

    #[test]
    fn values_are_taken_as_they_are() {
        assert_eq!(changed("", &[("X", "$(id) `id`\n")]), "$(id) `id`\n");
        assert_eq!(changed("a", &[("X", "b\0c")]), "a");
    }
}
