//! Patterns of slices, in the syntax of Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a-z]` and `\`, none across `/`.

use std::path::Path;

/// Names of a path, each a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(Vec<Vec<char>>);

impl PathPattern {
    /// Parses a pattern relative to the app's folder, or absolute inside it.
    ///
    /// # Errors
    ///
    /// A message for a pattern that leads out of the app.
    pub fn parse(text: &str, app: &Path) -> Result<Self, String> {
        let refused = || format!("slice `{text}` leads out of the app");
        let relative = match text.starts_with('/') {
            true => {
                let inside = text.strip_prefix(app.to_str().unwrap_or_default()).ok_or_else(refused)?;
                inside.strip_prefix('/').or_else(|| inside.is_empty().then_some("")).ok_or_else(refused)?
            }
            false => text,
        };
        let names: Vec<_> = relative.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        match names.contains(&"..") {
            true => Err(refused()),
            false => Ok(Self(names.iter().map(|name| name.chars().collect()).collect())),
        }
    }

    /// The whole path matches; the pattern of no names is the app itself.
    pub fn matches(&self, path: &Path) -> bool {
        self.0.is_empty() || (self.0.len() == path.components().count() && self.begins(path))
    }

    /// Something below this folder may match.
    pub fn may_match_below(&self, path: &Path) -> bool {
        self.0.len() > path.components().count() && self.begins(path)
    }

    fn begins(&self, path: &Path) -> bool {
        let names =
            path.components().map(|name| name.as_os_str().to_string_lossy().chars().collect::<Vec<_>>());
        self.0.iter().zip(names).all(|(pattern, name)| name_matches(pattern, &name))
    }
}

fn name_matches(mut pattern: &[char], mut name: &[char]) -> bool {
    // Where to go on after the last `*`: behind it, with one more character eaten by it.
    let mut retry: Option<(&[char], &[char])> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix(&['*']) {
            pattern = rest;
            retry = Some((rest, name));
            continue;
        }
        if pattern.is_empty() && name.is_empty() {
            return true;
        }
        if let [first, after @ ..] = name
            && let Some(rest) = one_matches(pattern, *first)
        {
            (pattern, name) = (rest, after);
            continue;
        }
        match retry {
            Some((after_star, [_, rest @ ..])) => {
                (pattern, name) = (after_star, rest);
                retry = Some((after_star, rest));
            }
            _ => return false,
        }
    }
}

/// The pattern behind the part that matches this character.
fn one_matches(pattern: &[char], character: char) -> Option<&[char]> {
    match pattern {
        ['?', rest @ ..] => Some(rest),
        ['[', rest @ ..] => class_matches(rest, character),
        ['\\', escaped, rest @ ..] => (*escaped == character).then_some(rest),
        [literal, rest @ ..] => (*literal == character).then_some(rest),
        [] => None,
    }
}

fn class_matches(class: &[char], character: char) -> Option<&[char]> {
    let (is_negated, class) = match class {
        ['^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let end = class.iter().position(|it| *it == ']')?;
    let (mut members, rest) = (&class[..end], &class[end + 1..]);
    let mut is_member = false;
    while let Some((first, after)) = members.split_first() {
        match after {
            ['-', last, after @ ..] => {
                is_member |= (*first..=*last).contains(&character);
                members = after;
            }
            _ => {
                is_member |= *first == character;
                members = after;
            }
        }
    }
    (is_member != is_negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern, Path::new("/workspace")).expect("a pattern").matches(Path::new(path))
    }

    #[test]
    fn patterns_follow_go() {
        for (pattern, path, expected) in [
            ("public", "public", true),
            ("public/", "public", true),
            ("./public", "public", true),
            ("/workspace/public", "public", true),
            ("*.js", "a.js", true),
            ("*.js", "a/b.js", false),
            ("*/*.js", "a/b.js", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[a", "a", false),
            (".", "anything/at/all", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_that_lead_out_of_the_app_are_refused() {
        for wrong in ["../a", "a/../../b", "/etc/passwd", "/workspace-too/a"] {
            assert!(PathPattern::parse(wrong, Path::new("/workspace")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn folders_above_a_match_are_known() {
        let pattern = PathPattern::parse("a/*/c", Path::new("/workspace")).expect("a pattern");

        assert!(pattern.may_match_below(Path::new("a/b")) && !pattern.may_match_below(Path::new("b")));
        assert!(!pattern.may_match_below(Path::new("a/b/c")));
    }
}
