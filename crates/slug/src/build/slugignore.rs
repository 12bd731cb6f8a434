//! `.slugignore`: files of the source that stay out of the build and of the slug.
//!
//! It applies to the pushed files: they are removed before the packs run, so that a pattern such as `src` does not
//! affect the packages that packs install.
//!
//! Patterns are those of `tar --exclude`: `*` matches slashes, a pattern matches a whole name or its end after a
//! slash, and everything below a match is left out too. A leading slash anchors a pattern at the root, a trailing
//! one limits it to folders, as on Heroku. There is no negation.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The patterns of one app.
#[derive(Debug, Default)]
pub struct SlugIgnore {
    patterns: Vec<IgnorePattern>,
}

#[derive(Debug)]
struct IgnorePattern {
    glob: Vec<u8>,
    anchored: bool,
    folders_only: bool,
}

impl SlugIgnore {
    /// Removes what the patterns match below `root`, whole folders at once.
    pub fn remove_from(&self, root: &Path) -> io::Result<()> {
        if self.patterns.is_empty() {
            return Ok(());
        }
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))? {
                let entry = entry?;
                let (path, is_folder) = (folder.join(entry.file_name()), entry.file_type()?.is_dir());
                match (self.matches(path.as_os_str().as_bytes(), is_folder), is_folder) {
                    (true, true) => fs::remove_dir_all(root.join(&path))?,
                    (true, false) => fs::remove_file(root.join(&path))?,
                    (false, true) => folders.push(path),
                    (false, false) => {}
                }
            }
        }
        Ok(())
    }

    /// Parses the file; the second value lists lines that have no effect.
    pub fn parse(text: &[u8]) -> (Self, Vec<String>) {
        let mut patterns = Vec::new();
        let mut without_effect = Vec::new();
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match IgnorePattern::parse(line) {
                Some(pattern) => patterns.push(pattern),
                None => without_effect.push(String::from_utf8_lossy(line).into_owned()),
            }
        }
        (Self { patterns }, without_effect)
    }

    /// Returns true if the entry, named from the root without a leading slash, is to be left out.
    pub fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        let is_git = path == b".git" || path.ends_with(b"/.git");
        is_git || self.patterns.iter().any(|pattern| pattern.matches(path, is_folder))
    }
}

impl IgnorePattern {
    fn parse(line: &[u8]) -> Option<Self> {
        if line.starts_with(b"!") {
            return None;
        }
        let folders_only = line.ends_with(b"/");
        let line = line.strip_suffix(b"/").unwrap_or(line);
        let line = line.strip_prefix(b"./").map_or(line.to_vec(), |rest| [b"/", rest].concat());
        let anchored = line.starts_with(b"/");
        let glob = line.strip_prefix(b"/").unwrap_or(&line).to_vec();
        if glob.is_empty() { None } else { Some(Self { glob, anchored, folders_only }) }
    }

    fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        if self.folders_only && !is_folder {
            return false;
        }
        let after_slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
        glob_matches(&self.glob, path)
            || (!self.anchored
                && after_slashes.into_iter().any(|from| glob_matches(&self.glob, &path[from..])))
    }
}

/// Matches with one memory of the last star: linear in the text for each star, never exponential.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        if glob.get(at) == Some(&b'*') {
            star = Some((at + 1, position));
            at += 1;
        } else if let Some(width) = one_matches(&glob[at..], text[position]) {
            at += width;
            position += 1;
        } else if let Some((after_star, from)) = star {
            star = Some((after_star, from + 1));
            (at, position) = (after_star, from + 1);
        } else {
            return false;
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

/// Length of the glob's first element if it matches the byte.
fn one_matches(glob: &[u8], byte: u8) -> Option<usize> {
    match glob.first()? {
        b'?' => Some(1),
        b'\\' if glob.len() > 1 => (glob[1] == byte).then_some(2),
        b'[' => match class_matches(glob, byte) {
            Some((true, width)) => Some(width),
            Some((false, _)) => None,
            None => (byte == b'[').then_some(1),
        },
        literal => (*literal == byte).then_some(1),
    }
}

/// Reads a class such as `[a-z_]` or `[!0-9]`; `None` when it is never closed.
fn class_matches(glob: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(glob.get(1), Some(b'!' | b'^'));
    let start = if negated { 2 } else { 1 };
    let end = start + 1 + glob.get(start + 1..)?.iter().position(|byte| *byte == b']')?;
    let members = &glob[start..end];
    let mut found = false;
    let mut at = 0;
    while at < members.len() {
        let range = members.get(at + 1) == Some(&b'-') && at + 2 < members.len();
        let last = if range { members[at + 2] } else { members[at] };
        found |= (members[at]..=last).contains(&byte);
        at += if range { 3 } else { 1 };
    }
    Some((found != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignores(pattern: &str, path: &str) -> bool {
        SlugIgnore::parse(pattern.as_bytes()).0.matches(path.as_bytes(), false)
    }

    #[test]
    fn patterns_match_whole_names_and_their_ends_after_a_slash() {
        for (pattern, path) in [
            ("*.psd", "art/logo.psd"),
            ("notes.txt", "docs/notes.txt"),
            ("/notes.txt", "notes.txt"),
            ("./notes.txt", "notes.txt"),
            ("docs/*.md", "docs/deep/a.md"),
            ("docs/*.md", "more/docs/a.md"),
            ("a?c", "abc"),
            ("[!b-d]x", "ax"),
            (r"\*", "*"),
            ("[", "["),
            ("**/log", "var/log"),
        ] {
            assert!(ignores(pattern, path), "{pattern} should match {path}");
        }
    }

    #[test]
    fn other_names_are_kept() {
        for (pattern, path) in [
            ("/notes.txt", "docs/notes.txt"),
            ("notes", "notes.txt"),
            ("*.psd", "logo.psd.bak"),
            ("[b-d]x", "ax"),
            ("a?c", "ac"),
            ("# comment", "# comment"),
            ("!keep", "keep"),
            ("folder/", "folder"),
        ] {
            assert!(!ignores(pattern, path), "{pattern} should not match {path}");
        }
    }

    #[test]
    fn a_trailing_slash_means_folders() {
        let (ignore, _) = SlugIgnore::parse(b"spec/\r\n");

        assert!(ignore.matches(b"spec", true));
        assert!(ignore.matches(b"lib/spec", true));
        assert!(!ignore.matches(b"spec", false));
    }

    #[test]
    fn git_folders_are_always_left_out_and_negations_are_reported() {
        let (ignore, without_effect) = SlugIgnore::parse(b"!README.md\n");

        assert!(ignore.matches(b".git", true));
        assert!(ignore.matches(b"vendor/lib/.git", true));
        assert!(!ignore.matches(b".gitignore", false));
        assert_eq!(without_effect, ["!README.md"]);
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(40) + "b";

        assert!(!ignores(&pattern, &"a".repeat(4000)));
    }
}
