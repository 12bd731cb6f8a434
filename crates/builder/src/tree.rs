//! Bounds of a pushed source's names, checked on git's list of them while it comes.
//!
//! A few trees that name each other list billions of files: the list is read until a bound is reached, and never
//! kept.

use domain::submodules::{Gitlink, SUBMODULES_MAX};

/// Bounds of one source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TreeBounds {
    /// Files, folders and submodules.
    entries_max: u64,
    submodules_max: usize,
    /// Folders within each other.
    depth_max: usize,
    /// Bytes of a path below the root, and of one of its parts.
    path_bytes_max: usize,
    name_bytes_max: usize,
}

impl TreeBounds {
    /// The bounds with this number of entries. Paths are those that a file system takes, with room for the
    /// folder that a build puts them in (`PATH_MAX` is 4,096 and `NAME_MAX` 255).
    pub(crate) fn with_entries(entries_max: u64) -> Self {
        Self {
            entries_max,
            submodules_max: SUBMODULES_MAX,
            depth_max: 128,
            path_bytes_max: 2_048,
            name_bytes_max: 255,
        }
    }
}

/// A refused source; the text is shown to the pusher.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("the source has more than {0} files and folders; leave what is generated out of the repository")]
    Entries(u64),
    #[error("the source has more than {0} submodules; have fewer")]
    Submodules(usize),
    #[error("`{path}…` lies in more than {max} folders within each other; make the path shorter")]
    Depth { path: String, max: usize },
    #[error("the path `{path}…` is longer than {max} bytes; make it shorter")]
    Path { path: String, max: usize },
    #[error("the name `{name}…` is longer than {max} bytes; make it shorter")]
    Name { name: String, max: usize },
    #[error("git's list of the source's files is not understood")]
    Form,
}

/// Reads what `git ls-tree -r -t -z` prints: `<mode> <kind> <id>\t<path>\0`.
pub(crate) struct TreeCheck {
    bounds: TreeBounds,
    entries: u64,
    submodules: Vec<Gitlink>,
    unfinished: Vec<u8>,
}

impl TreeCheck {
    pub(crate) fn new(bounds: TreeBounds) -> Self {
        Self { bounds, entries: 0, submodules: Vec::new(), unfinished: Vec::new() }
    }

    pub(crate) fn into_submodules(self) -> Vec<Gitlink> {
        self.submodules
    }

    /// Checks the entries that end within `bytes`.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), TreeError> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == 0) {
            let mut entry = std::mem::take(&mut self.unfinished);
            entry.extend_from_slice(&rest[..end]);
            self.check(&entry)?;
            rest = &rest[end + 1..];
            entry.clear();
            self.unfinished = entry;
        }
        self.unfinished.extend_from_slice(rest);
        // One that has not ended yet may be as long as the whole push.
        if self.unfinished.len() > 2 * self.bounds.path_bytes_max {
            let unfinished = std::mem::take(&mut self.unfinished);
            return self.check(&unfinished);
        }
        Ok(())
    }

    fn check(&mut self, entry: &[u8]) -> Result<(), TreeError> {
        let TreeBounds { entries_max, submodules_max, depth_max, path_bytes_max, name_bytes_max } =
            self.bounds;
        let tab = entry.iter().position(|byte| *byte == b'\t').ok_or(TreeError::Form)?;
        let path = &entry[tab + 1..];
        self.entries += 1;
        self.submodules.extend(Gitlink::parse(entry));
        if self.entries > entries_max {
            return Err(TreeError::Entries(entries_max));
        }
        if self.submodules.len() > submodules_max {
            return Err(TreeError::Submodules(submodules_max));
        }
        if path.iter().filter(|byte| **byte == b'/').count() > depth_max {
            return Err(TreeError::Depth { path: shown(path), max: depth_max });
        }
        if let Some(name) = path.split(|byte| *byte == b'/').find(|name| name.len() > name_bytes_max) {
            return Err(TreeError::Name { name: shown(name), max: name_bytes_max });
        }
        if path.len() > path_bytes_max {
            return Err(TreeError::Path { path: shown(path), max: path_bytes_max });
        }
        Ok(())
    }
}

/// The beginning of a path, as a terminal may be shown it.
pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().filter(|letter| !letter.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(entries: &[String]) -> Result<(), TreeError> {
        let mut check = TreeCheck::new(TreeBounds::with_entries(1_000));
        entries.iter().try_for_each(|entry| check.add(entry.as_bytes()))
    }

    fn file(path: &str) -> String {
        format!("100644 blob {}\t{path}\0", "1".repeat(40))
    }

    #[test]
    fn an_ordinary_source_passes_wherever_the_pieces_end() {
        let all = [file("Procfile"), file("src/a b/ü\t.rs"), file("x")].concat();
        let mut check = TreeCheck::new(TreeBounds::with_entries(3));

        for byte in all.as_bytes() {
            assert_eq!(check.add(&[*byte]), Ok(()));
        }
        assert_eq!(check.entries, 3);
    }

    #[test]
    fn each_bound_refuses_with_its_own_sentence() {
        let many: Vec<_> = (0..1_001).map(|number| file(&number.to_string())).collect();
        let modules: Vec<_> =
            (0..101).map(|number| format!("160000 commit {}\t{number}\0", "1".repeat(40))).collect();
        let long_path = vec!["n".repeat(200); 20].join("/");

        assert_eq!(checked(&many), Err(TreeError::Entries(1_000)));
        assert_eq!(checked(&modules), Err(TreeError::Submodules(100)));
        assert!(matches!(checked(&[file(&"d/".repeat(129))]), Err(TreeError::Depth { .. })));
        assert!(matches!(checked(&[file(&"n".repeat(256))]), Err(TreeError::Name { .. })));
        assert!(matches!(checked(&[file(&long_path)]), Err(TreeError::Path { .. })));
        assert!(matches!(checked(&["n".repeat(9_000)]), Err(TreeError::Form)));
    }

    #[test]
    fn submodules_are_told_with_their_commits() {
        let mut check = TreeCheck::new(TreeBounds::with_entries(9));
        let commit = "1".repeat(40);
        let module = format!("160000 commit {commit}\tlib/a\0");

        assert_eq!(check.add([file("x"), module].concat().as_bytes()), Ok(()));

        assert_eq!(check.into_submodules(), [Gitlink { path: "lib/a".to_owned(), commit }]);
    }

    #[test]
    fn a_path_without_end_is_not_kept() {
        let mut check = TreeCheck::new(TreeBounds::with_entries(10));
        let endless = format!("100644 blob {}\t{}", "1".repeat(40), "n".repeat(100_000));

        assert!(matches!(check.add(endless.as_bytes()), Err(TreeError::Name { .. })));
        assert!(check.unfinished.is_empty());
    }
}
