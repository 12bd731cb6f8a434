//! `_redirects` of a static site: `from to [status]` a line, with `*` at the end, `:name` for a part of the path, and `!`.

use crate::failure::SlugError;

/// Most rules of a site.
pub const RULES_MAX: usize = 5000;
/// Name of the file in the folder that is served.
pub const FILE: &str = "_redirects";

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Redirect {
    from: Vec<FromPart>,
    /// Path or URL, with `:name` and `:splat` for what `from` has found.
    to: String,
    pub answer: RedirectAnswer,
    /// Holds even where there is a file.
    pub is_forced: bool,
}

/// The answer of a rule that matches.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum RedirectAnswer {
    /// The client is sent elsewhere, with this status.
    Move(u16),
    /// Another file is sent, with this status.
    File(u16),
}

#[derive(Debug, PartialEq, Eq)]
enum FromPart {
    Text(String),
    Name(String),
    Rest,
}

impl Redirect {
    /// Makes a rule of its parts.
    ///
    /// # Errors
    ///
    /// A text in words for the end of a sentence.
    pub fn new(from: &str, to: &str, status: u16, is_forced: bool) -> Result<Self, String> {
        if !from.starts_with('/') {
            return Err(format!("`{from}` is not a path: write it like `/old/*`"));
        }
        let is_url = to.starts_with("https://") || to.starts_with("http://");
        if !is_url && !to.starts_with('/') {
            return Err(format!(
                "`{to}` is neither a path nor a URL: write it like `/new` or `https://example.com/`"
            ));
        }
        if to.chars().any(|character| character.is_control() || character == ' ') {
            return Err(format!("`{}` has characters that no URL has", to.escape_default()));
        }
        let answer = match status {
            301 | 302 | 303 | 307 | 308 => RedirectAnswer::Move(status),
            200 | 404 if is_url => {
                return Err(format!(
                    "{status} sends a file of the site, and `{to}` is elsewhere: use 301 or 302"
                ));
            }
            200 | 404 => RedirectAnswer::File(status),
            other => {
                return Err(format!(
                    "the status is {other}: one of 200, 301, 302, 303, 307, 308, 404 can be sent"
                ));
            }
        };
        Ok(Self { from: parse_from(from)?, to: to.to_owned(), answer, is_forced })
    }

    /// The path or URL that a decoded path leads to; `encode` is for what is filled in.
    pub fn target(&self, path: &str, encode: fn(&str) -> String) -> Option<String> {
        let mut found = Vec::new();
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        for from in &self.from {
            match from {
                FromPart::Text(text) => (parts.next()? == text).then_some(())?,
                FromPart::Name(name) => found.push((format!(":{name}"), encode(parts.next()?))),
                FromPart::Rest => {
                    let rest = parts.by_ref().collect::<Vec<_>>().join("/");
                    found.push((":splat".to_owned(), encode(&rest)));
                }
            }
        }
        if parts.next().is_some() {
            return None;
        }
        // A longer name first: `:id` is the beginning of `:idea`.
        found.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Some(filled(&self.to, &found))
    }
}

/// The text with values in place of names, none of which is looked into again.
fn filled(text: &str, values: &[(String, String)]) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(':') {
        let (before, name) = rest.split_at(at);
        out.push_str(before);
        match values.iter().find(|(known, _)| name.starts_with(known.as_str())) {
            Some((known, value)) => {
                out.push_str(value);
                rest = &name[known.len()..];
            }
            None => {
                out.push(':');
                rest = &name[1..];
            }
        }
    }
    out + rest
}

fn parse_from(from: &str) -> Result<Vec<FromPart>, String> {
    let words: Vec<_> = from.split('/').filter(|word| !word.is_empty()).collect();
    let last = words.len().saturating_sub(1);
    let part = |(at, word): (usize, &&str)| match word.strip_prefix(':') {
        Some(name) if !name.is_empty() => Ok(FromPart::Name(name.to_owned())),
        _ if *word == "*" && at == last => Ok(FromPart::Rest),
        _ if word.contains('*') => Err(format!("`{from}` has a `*` that is not its last part, after a `/`")),
        _ => Ok(FromPart::Text((*word).to_owned())),
    };
    words.iter().enumerate().map(part).collect()
}

/// Parses the file.
///
/// # Errors
///
/// The first line that cannot be obeyed, by its number.
pub fn parse(text: &str) -> Result<Vec<Redirect>, SlugError> {
    let mut rules = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let rule = parse_line(line)
            .map_err(|reason| SlugError::data(format!("{FILE} line {}: {reason}", number + 1)))?;
        rules.push(rule);
    }
    if rules.len() > RULES_MAX {
        return Err(SlugError::data(format!("{FILE} has {} rules, {RULES_MAX} are the most", rules.len())));
    }
    Ok(rules)
}

fn parse_line(line: &str) -> Result<Redirect, String> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (from, to, status) = match words[..] {
        [from, to] => (from, to, "301"),
        [from, to, status] if !to.contains('=') || to.starts_with(['/', 'h']) => (from, to, status),
        _ => {
            return Err(
                "write `/from /to 301`: conditions on queries, countries and languages are not supported"
                    .to_owned(),
            );
        }
    };
    let (number, is_forced) = match status.strip_suffix('!') {
        Some(number) => (number, true),
        None => (status, false),
    };
    let number =
        number.parse().map_err(|_| format!("`{status}` is no status: write a number such as 301"))?;
    Redirect::new(from, to, number, is_forced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(line: &str, path: &str) -> Option<String> {
        parse(line).expect("well-formed")[0].target(path, str::to_owned)
    }

    #[test]
    fn parts_and_the_rest_of_a_path_are_filled_in() {
        for (line, path, to) in [
            ("/old /new", "/old/", Some("/new")),
            ("/old /new", "/old/more", None),
            ("/blog/* /news/:splat 302", "/blog/a/b", Some("/news/a/b")),
            ("/blog/* /news/:splat 302", "/blog", Some("/news/")),
            ("/u/:id/:idea /x?id=:id&idea=:idea", "/u/7/:id", Some("/x?id=7&idea=:id")),
            ("/* /index.html 200", "/", Some("/index.html")),
            ("/a https://b.example:8080/c", "/a", Some("https://b.example:8080/c")),
        ] {
            assert_eq!(target(line, path).as_deref(), to, "{line} {path}");
        }
    }

    #[test]
    fn comments_force_and_statuses_are_read() {
        let rules = parse("# all\n\n/a /b 308! # moved\r\n/c /404.html 404\n").expect("well-formed");

        let read: Vec<_> = rules.iter().map(|rule| (rule.answer, rule.is_forced)).collect();
        assert_eq!(read, [(RedirectAnswer::Move(308), true), (RedirectAnswer::File(404), false)]);
    }

    #[test]
    fn lines_that_cannot_be_obeyed_are_refused_by_number() {
        for (line, reason) in [
            ("/a", "write `/from /to 301`"),
            ("/a /b 301 Country=us", "conditions on queries"),
            ("/a id=:id /b/:id 301", "conditions on queries"),
            ("a /b", "`a` is not a path"),
            ("/a b", "`b` is neither a path nor a URL"),
            ("/a /b moved", "`moved` is no status"),
            ("/a /b 418", "the status is 418"),
            ("/api/* https://api.example/:splat 200", "200 sends a file of the site"),
            ("/a*/b /c", "has a `*` that is not its last part"),
        ] {
            let failure = parse(&format!("/fine /also\n{line}\n")).expect_err(line);
            assert!(
                failure.message.starts_with("_redirects line 2: ") && failure.message.contains(reason),
                "{}",
                failure.message
            );
        }
    }
}
