//! Services: paths of an app that go to another process type than the rest (docs/spec/api.md 4.19).
//!
//! A pattern is what may stand in a `location` of nginx, and the choice is nginx's:
//!
//! 1. `= /a` is the path itself, and goes before all others.
//! 2. `/a` is what paths begin with. Of those that fit the longest counts.
//! 3. `~ expr` is a regular expression, `~* expr` one that takes no notice of case. The first that fits goes before
//!    the longest beginning, unless that is written `^~ /a`. A pattern without a modifier that has signs of an
//!    expression in it, such as `/v[12]/`, is one that fits from the start of the path on.
//!
//! If patterns of two services match equally well, the first in the list wins. The query is ignored; `%xx` is decoded
//! before matching.

use std::borrow::Cow;

use regex_lite::{Regex, RegexBuilder};

use crate::names::{NameError, ProcessType};

/// Longest text of all patterns of a service, in characters.
pub const PATTERN_LENGTH_MAX: usize = 4096;
/// Largest expression, compiled: what fits in a request's time.
const EXPRESSION_BYTES_MAX: usize = 64 * 1024;
/// Modifiers before a pattern, separated by a blank, as in an nginx `location`.
const MODIFIERS: [&str; 4] = ["=", "~", "~*", "^~"];
/// Characters that make a pattern an expression instead of a path prefix; a dot alone does not.
const SIGNS: [char; 12] = ['\\', '*', '+', '?', '(', ')', '[', ']', '{', '|', '^', '$'];

/// A service that was refused. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Type(#[from] NameError),
    #[error("Service value should be valid regex (or set of regex split by comma)")]
    Pattern,
}

/// Reads the process type of a service and checks its patterns, which are joined by commas.
///
/// # Errors
///
/// [`ServiceError::Type`] or [`ServiceError::Pattern`].
pub fn parse(procfile_type: &str, path_pattern: &str) -> Result<ProcessType, ServiceError> {
    let process = ProcessType::parse(procfile_type)?;
    if are_patterns(path_pattern) { Ok(process) } else { Err(ServiceError::Pattern) }
}

/// Returns true for valid patterns joined by commas.
pub fn are_patterns(path_pattern: &str) -> bool {
    path_pattern.chars().count() <= PATTERN_LENGTH_MAX
        && path_pattern.split(',').all(|text| Pattern::parse(text).is_some())
}

/// The patterns of an app's services, ready to be asked.
#[derive(Debug, Default)]
pub struct Paths {
    exact: Vec<(String, usize)>,
    /// The longest first; whether no expression may go before it.
    beginnings: Vec<(String, bool, usize)>,
    expressions: Vec<(Regex, usize)>,
}

impl Paths {
    /// Of the patterns of each service; those that are none are left out.
    pub fn new<'a>(services: impl IntoIterator<Item = &'a str>) -> Self {
        let mut paths = Self::default();
        for (service, patterns) in services.into_iter().enumerate() {
            for pattern in patterns.split(',').filter_map(Pattern::parse) {
                match pattern {
                    Pattern::Exact(text) => paths.exact.push((text, service)),
                    Pattern::Beginning { text, is_final } => paths.beginnings.push((text, is_final, service)),
                    Pattern::Expression(expression) => paths.expressions.push((expression, service)),
                }
            }
        }
        paths.beginnings.sort_by_key(|(text, ..)| std::cmp::Reverse(text.len()));
        paths
    }

    /// The number of the service that a path goes to; `None` where it goes where the rest does.
    pub fn find(&self, path: &str) -> Option<usize> {
        if self.exact.is_empty() && self.beginnings.is_empty() && self.expressions.is_empty() {
            return None;
        }
        let path = meant(path);
        if let Some((_, service)) = self.exact.iter().find(|(text, _)| *text == *path) {
            return Some(*service);
        }
        let longest = self.beginnings.iter().find(|(text, ..)| path.starts_with(text.as_str()));
        if let Some((_, true, service)) = longest {
            return Some(*service);
        }
        let first = self.expressions.iter().find(|(expression, _)| expression.is_match(&path));
        first.map(|(_, service)| *service).or_else(|| longest.map(|(.., service)| *service))
    }
}

enum Pattern {
    Exact(String),
    Beginning { text: String, is_final: bool },
    Expression(Regex),
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (modifier, rest) = match text.split_once(char::is_whitespace) {
            Some((modifier, rest)) if MODIFIERS.contains(&modifier) => (modifier, rest.trim_start()),
            _ if MODIFIERS.contains(&text) => (text, ""),
            _ => ("", text),
        };
        if rest.is_empty() || rest.contains(char::is_control) {
            return None;
        }
        // A pattern that is matched literally must be a valid expression, too: the API promises it.
        let expression = compiled(rest, modifier == "~*")?;
        Some(match modifier {
            "=" => Self::Exact(rest.to_owned()),
            "^~" => Self::Beginning { text: rest.to_owned(), is_final: true },
            "" if rest.contains(SIGNS) => Self::Expression(compiled(&format!("^(?:{rest})"), false)?),
            "" => Self::Beginning { text: rest.to_owned(), is_final: false },
            _ => Self::Expression(expression),
        })
    }
}

fn compiled(expression: &str, ignores_case: bool) -> Option<Regex> {
    let mut builder = RegexBuilder::new(expression);
    builder.case_insensitive(ignores_case).size_limit(EXPRESSION_BYTES_MAX).build().ok()
}

/// The path with `%xx` as what they stand for; as it is where that is no text.
fn meant(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        bytes.push(code.as_ref().map_or(*first, |code| code[0]));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(path), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_an_expression_or_several_with_nginx_modifiers() {
        for good in ["/hook", "/a,/b/.*", "~ ^/x/", "~* \\.png$", "^~ /static, = /exact", "/v[12]/(a|b)"] {
            assert!(parse("webhooks", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "/a,",
            ",/a",
            "/a(",
            "~ ",
            "/a\n}",
            "(a{1000}){1000}",
            &"x".repeat(PATTERN_LENGTH_MAX + 1),
        ] {
            assert_eq!(parse("webhooks", bad), Err(ServiceError::Pattern), "{bad}");
        }
        assert_eq!(parse("Web Hooks", "/a"), Err(ServiceError::Type(NameError::ProcessType)));
    }

    #[test]
    fn a_path_goes_where_nginx_would_bring_it() {
        let paths = Paths::new([
            "/hook, /hook/deep",
            "= /hook/deep",
            "~ ^/x/\\d+$,/v[12]/",
            "~* \\.PNG$",
            "^~ /static",
        ]);

        for (path, service) in [
            ("/", None),
            ("/other/hook", None),
            ("/hook", Some(0)),
            ("/hooked", Some(0)),
            ("/h%6Fok", Some(0)),
            ("/h%zzok", None),
            ("/%", None),
            ("/hook/deep", Some(1)),
            ("/hook/deeper", Some(0)),
            ("/x/12", Some(2)),
            ("/x/12/a", None),
            ("/v2/", Some(2)),
            ("/a/v2/", None),
            ("/hook/a.png", Some(3)),
            ("/static/a.png", Some(4)),
        ] {
            assert_eq!(paths.find(path), service, "{path}");
        }
    }

    #[test]
    fn the_first_of_two_that_are_equally_good_counts() {
        assert_eq!(Paths::new(["/a", "/a"]).find("/a"), Some(0));
        assert_eq!(Paths::new(["~ /a", "~ /a"]).find("/a"), Some(0));
        assert_eq!(Paths::new(["= /a", "= /a"]).find("/a"), Some(0));
    }

    proptest! {
        #[test]
        fn the_longest_beginning_counts_in_whichever_order(
            mut texts in proptest::collection::btree_set("/[a-c]{0,3}", 1..6).prop_map(Vec::from_iter).prop_shuffle(),
            path in "/[a-c]{0,5}",
        ) {
            let found = Paths::new(texts.iter().map(String::as_str)).find(&path).map(|it| texts[it].clone());

            texts.retain(|text| path.starts_with(text.as_str()));
            prop_assert_eq!(found, texts.into_iter().max_by_key(String::len));
        }

        #[test]
        fn any_text_that_is_a_pattern_can_be_asked_for_any_path(patterns in "[=~^*/a-c.,()%\\[\\] ]{0,12}", path in "/.{0,8}") {
            prop_assume!(are_patterns(&patterns));

            let found = Paths::new([patterns.as_str()]).find(&path);

            prop_assert!(found.is_none_or(|service| service == 0));
        }
    }
}
