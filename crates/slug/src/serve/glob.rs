//! Patterns of paths in `static.json`: `*` stands for anything within a part of the path, `**` for anything.

/// A pattern.
#[derive(Debug, PartialEq, Eq)]
pub struct Glob {
    parts: Vec<GlobPart>,
}

#[derive(Debug, PartialEq, Eq)]
enum GlobPart {
    Byte(u8),
    WithinPart,
    Anything,
}

impl Glob {
    pub fn new(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            parts.push(match byte {
                b'*' if bytes.next_if_eq(&b'*').is_some() => GlobPart::Anything,
                b'*' => GlobPart::WithinPart,
                other => GlobPart::Byte(other),
            });
        }
        Self { parts }
    }

    /// Bytes before the first wildcard: of two patterns that match, the one with more of them is meant.
    pub fn literal_prefix(&self) -> usize {
        self.parts.iter().take_while(|part| matches!(part, GlobPart::Byte(_))).count()
    }

    /// Returns true if the whole path matches; the time is that of the pattern's length times the path's.
    pub fn matches(&self, path: &str) -> bool {
        let path = path.as_bytes();
        // Positions in the path up to which the pattern so far may reach.
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            let mut next = vec![false; path.len() + 1];
            for at in 0..=path.len() {
                next[at] = match part {
                    GlobPart::Byte(byte) => at > 0 && reached[at - 1] && path[at - 1] == *byte,
                    GlobPart::WithinPart => reached[at] || (at > 0 && next[at - 1] && path[at - 1] != b'/'),
                    GlobPart::Anything => reached[at] || (at > 0 && next[at - 1]),
                };
            }
            reached = next;
        }
        reached[path.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stays_within_a_part_of_the_path_and_two_do_not() {
        for (pattern, path, matches) in [
            ("/**", "/", true),
            ("/**", "/a/b.html", true),
            ("/*", "/a", true),
            ("/*", "/a/b", false),
            ("/assets/**", "/assets/a/b.js", true),
            ("/assets/**", "/asset", false),
            ("/*.html", "/about.html", true),
            ("/*/end", "/a/end", true),
            ("/a", "/a/", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(path), matches, "{pattern} {path}");
        }
    }

    #[test]
    fn many_wildcards_take_no_longer_than_one() {
        let pattern = Glob::new(&"/**a".repeat(500));

        assert!(!pattern.matches(&format!("/{}", "a".repeat(2000))));
    }
}
