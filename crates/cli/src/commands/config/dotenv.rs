//! Files of environment variables, `.env`, in the syntax of other tools.
//!
//! A line is `KEY=value`, with an optional `export` before it. A value in quotes may contain anything, also line
//! breaks: literally in single quotes or backticks, with the escapes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` in
//! double quotes. Without quotes it ends with the line or before a comment, a `#` after a blank. Variables in
//! values are not expanded: a value is sent as it is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::value::is_key;

/// An invalid `.env` file.
#[derive(Debug, PartialEq, Eq)]
pub struct DotenvError {
    line: usize,
    reason: &'static str,
}

impl std::fmt::Display for DotenvError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.reason)
    }
}

const NOT_A_PAIR: &str = "it does not match the pattern 'key=var', ex: MODE=test";
const NOT_A_KEY: &str = "its name is none of a variable: only letters, digits and _, and no digit first";
const NOT_CLOSED: &str = "the quote that begins its value is never closed";
const AFTER_QUOTE: &str = "text follows the quote that closes its value; quote the whole value";

/// Reads all pairs; the last of a key counts.
///
/// # Errors
///
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, DotenvError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut reader = DotenvParser { rest: &text, line: 1 };
    let mut values = BTreeMap::new();
    while !reader.rest.is_empty() {
        if let Some((key, value)) = reader.entry()? {
            values.insert(key, value);
        }
    }
    Ok(values)
}

struct DotenvParser<'a> {
    rest: &'a str,
    /// Number of the line that `rest` begins in.
    line: usize,
}

impl DotenvParser<'_> {
    /// Reads a line, or the lines of one value; `None` for a blank one and a comment.
    fn entry(&mut self) -> Result<Option<(String, String)>, DotenvError> {
        let line = self.rest.split('\n').next().unwrap_or_default();
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            self.skip(line.len());
            return Ok(None);
        }
        let (key, value) = line.split_once('=').ok_or(self.error(NOT_A_PAIR))?;
        let name = key.trim();
        let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name);
        let name = name.trim().to_owned();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(self.error(NOT_A_PAIR));
        }
        if !is_key(&name) {
            return Err(self.error(NOT_A_KEY));
        }
        let blanks = value.len() - value.trim_start().len();
        let begin = key.len() + 1 + blanks;
        let value = match self.rest[begin..].chars().next().filter(|first| "'\"`".contains(*first)) {
            Some(quote) if begin < line.len() => self.quoted(begin + 1, quote)?,
            _ => {
                let value = before_comment(&line[begin..]).to_owned();
                self.skip(line.len());
                value
            }
        };
        Ok(Some((name, value)))
    }

    /// Reads from behind the opening quote to the end of the line that has the closing one.
    fn quoted(&mut self, begin: usize, quote: char) -> Result<String, DotenvError> {
        let mut value = String::new();
        let mut letters = self.rest[begin..].char_indices();
        let end = loop {
            let (at, letter) = letters.next().ok_or(self.error(NOT_CLOSED))?;
            if letter == quote {
                break begin + at + 1;
            }
            if letter != '\\' || quote != '"' {
                value.push(letter);
                continue;
            }
            match letters.next().ok_or(self.error(NOT_CLOSED))?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                plain @ ('"' | '\\' | '$') => value.push(plain),
                other => value.extend(['\\', other]),
            }
        };
        let after = self.rest[end..].split('\n').next().unwrap_or_default();
        let text = after.trim_start();
        let is_comment = text.starts_with('#') && text.len() < after.len();
        if !text.is_empty() && !is_comment {
            return Err(self.error(AFTER_QUOTE));
        }
        self.skip(end + after.len());
        Ok(value)
    }

    /// Skips this many bytes and the rest of the line.
    fn skip(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].matches('\n').count() + 1;
        self.rest = self.rest.get(bytes + 1..).unwrap_or_default();
    }

    fn error(&self, reason: &'static str) -> DotenvError {
        DotenvError { line: self.line, reason }
    }
}

/// The text of a value without quotes.
fn before_comment(text: &str) -> &str {
    let is_comment = |at: &usize| *at == 0 || text[..*at].ends_with([' ', '\t']);
    let end = text.match_indices('#').map(|(at, _)| at).find(is_comment).unwrap_or(text.len());
    text[..end].trim()
}

/// Writes pairs so that [`parse`] reads them back equal; in quotes only what needs them.
pub fn write(values: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (key, value) in values {
        let _ = writeln!(text, "{key}={}", written(value));
    }
    text
}

fn written(value: &str) -> String {
    let is_plain = !value.contains(['\n', '\r'])
        && !value.starts_with(['\'', '"', '`'])
        && before_comment(value).len() == value.len();
    if is_plain {
        return value.to_owned();
    }
    if !value.contains(['\'', '\r']) {
        return format!("'{value}'");
    }
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    format!("\"{}\"", escaped.replace('\n', "\\n").replace('\r', "\\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(text).map(|values| values.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_read_as_other_tools_read_it() {
        for (line, value) in [
            ("A=1", "1"),
            ("A = 1 ", "1"),
            ("export A=1", "1"),
            ("A=", ""),
            ("A=''", ""),
            ("A=\"two words\"", "two words"),
            ("A='two words' # why", "two words"),
            ("A=two words # why", "two words"),
            ("A=a#b", "a#b"),
            ("A=#b", ""),
            ("A='a # b'", "a # b"),
            (r#"A="a\nb\t\"c\" \\ \$D \x""#, "a\nb\t\"c\" \\ $D \\x"),
            (r"A='a\nb'", r"a\nb"),
            ("A=`it's`", "it's"),
            ("A=\"-----BEGIN\nabc=\n# kept\n-----END\"", "-----BEGIN\nabc=\n# kept\n-----END"),
            ("A={\"a\": 1}", "{\"a\": 1}"),
            ("A=b=c", "b=c"),
            ("A=$HOME", "$HOME"),
            ("export=1", "1"),
        ] {
            let key = if line.starts_with("export=") { "export" } else { "A" };
            let expected = Ok(vec![(key.to_owned(), value.to_owned())]);
            assert_eq!(pairs(line), expected, "{line}");
            let windows = format!("\u{feff}# first\r\n  # second\r\n\r\n{}\r\n", line.replace('\n', "\r\n"));
            assert_eq!(pairs(&windows), expected, "{windows:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line() {
        for (text, message) in [
            ("A=1\nword\n", "line 2: it does not match the pattern 'key=var', ex: MODE=test"),
            (
                "A=1\nB-C=s3cret",
                "line 2: its name is none of a variable: only letters, digits and _, and no digit first",
            ),
            ("=1", "line 1: it does not match the pattern 'key=var', ex: MODE=test"),
            ("A='1\n2'\nB=\"x\nC=1", "line 3: the quote that begins its value is never closed"),
            ("A=\"x\" y", "line 1: text follows the quote that closes its value; quote the whole value"),
        ] {
            assert_eq!(pairs(text), Err(message.to_owned()), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_values_that_are_written_are_read_back_equal(
            values in proptest::collection::btree_map("[A-Za-z_][A-Za-z0-9_]{0,8}", text(), 0..5),
            windows: bool,
        ) {
            let written = write(&values);
            // An editor that ends lines as Windows does, and marks the file as UTF-8, may have been at it.
            let is_one_line = values.values().all(|value| !value.contains('\n'));
            let text = if windows && is_one_line {
                format!("\u{feff}{}", written.replace('\n', "\r\n"))
            } else {
                written
            };
            proptest::prop_assert_eq!(parse(&text), Ok(values), "{}", text);
        }

        #[test]
        fn no_text_is_too_odd_to_be_read_or_refused(text in "[ A=\"'`#\\\\\n\r\t\u{feff}$ex]{0,40}") {
            if let Ok(values) = parse(&text) {
                proptest::prop_assert_eq!(parse(&write(&values)), Ok(values));
            }
        }
    }

    /// Any text, most of it of what has a meaning in such a file.
    fn text() -> impl proptest::strategy::Strategy<Value = String> {
        proptest::prop_oneof![
            "[ a='\"`#\\\\\n\r\t$nrt{}\u{feff}\u{85}\u{a0}]{0,12}",
            "\\PC{0,12}",
            proptest::prelude::any::<String>()
        ]
    }

    #[test]
    fn what_is_written_is_read_back_equal() {
        let values = [
            "",
            " ",
            "1",
            "a b",
            " a",
            "a ",
            "a#b",
            "a #b",
            "#",
            "it's",
            "'",
            "\"",
            "`",
            "\"q\"",
            "one\ntwo",
            "\n",
            "it's\n$two",
            "a\r\nb",
            "\\",
            "\\n",
            "it's \\n \"x\"\n",
            "ü\u{feff}",
            "-----BEGIN\nabc=\n-----END\n",
            "{\"a\": 1}",
            "$HOME",
            "a=b",
        ];
        for value in values {
            let written =
                BTreeMap::from([("KEY".to_owned(), value.to_owned()), ("Z".to_owned(), "1".to_owned())]);
            assert_eq!(parse(&write(&written)), Ok(written.clone()), "{value:?}: {}", write(&written));
        }
    }
}
