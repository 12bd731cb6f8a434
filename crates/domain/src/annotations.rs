//! Settings written as text: annotations of Kubernetes, and the same keys on a command line.
//!
//! Parsing is lenient: booleans in any case, surrounding blanks, the units of nginx. A setting that cannot be read
//! is ignored and reported, and the others hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::networks::Network;

/// Longest time that a setting may be; much longer ones end beyond the clock.
const DURATION_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Longest part of a text that a complaint repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// Texts by name.
pub type Annotations = BTreeMap<String, String>;

/// Reads settings whose names begin with one prefix, and remembers what was read and what was wrong.
pub struct AnnotationReader<'a> {
    texts: &'a Annotations,
    prefix: &'a str,
    /// Those that were read, each as often as it was.
    keys: RefCell<Vec<&'static str>>,
    wrong: Vec<String>,
}

impl<'a> AnnotationReader<'a> {
    /// Reads the settings whose names begin with `prefix`.
    pub fn new(texts: &'a Annotations, prefix: &'a str) -> Self {
        Self { texts, prefix, keys: RefCell::default(), wrong: Vec::new() }
    }

    /// The complaints, each with the name of its setting.
    pub fn into_wrong(self) -> Vec<String> {
        self.wrong
    }

    /// Keys that were read, with a text or without one.
    pub fn keys(&self) -> BTreeSet<&'static str> {
        self.keys.borrow().iter().copied().collect()
    }

    /// Notes something that is wrong with a setting.
    pub fn complain(&mut self, key: &'static str, why: impl std::fmt::Display) {
        let text = self.text(key).unwrap_or_default();
        self.wrong.push(format!("`{}` in {}{key}: {why}", shown(text), self.prefix));
    }

    /// Notes the names with the prefix that were not read so far and are none of `known`.
    pub fn complain_of_others(&mut self, known: &[&str]) {
        let keys = self.keys.get_mut();
        for name in self.texts.keys() {
            if let Some(key) = name.strip_prefix(self.prefix)
                && !keys.contains(&key)
                && !known.contains(&key)
            {
                self.wrong.push(format!("{name} is no setting; docs/router.md has those that there are"));
            }
        }
    }

    /// The text without blanks around it; none where it is empty.
    pub fn text(&self, key: &'static str) -> Option<&'a str> {
        self.keys.borrow_mut().push(key);
        let text = self.texts.get(&format!("{}{key}", self.prefix))?.trim();
        Some(text).filter(|text| !text.is_empty())
    }

    /// Parses the text of a key, or adds a complaint that `expected` was expected.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(self.text(key)?);
        if value.is_none() {
            self.complain(key, format!("expected {expected}"));
        }
        value
    }

    /// Parses a boolean: `true`, `on`, `false` or `off`, in any case.
    pub fn switch(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, "true or false", |text| match text.to_ascii_lowercase().as_str() {
            "true" | "on" => Some(true),
            "false" | "off" => Some(false),
            _ => None,
        })
    }

    /// Parses a number that its type can hold.
    pub fn number<N: std::str::FromStr>(&mut self, key: &'static str) -> Option<N> {
        self.read(key, "a number in range", |text| text.parse().ok())
    }

    /// Parses a duration above zero, such as `30s`, `500ms` or `20m`.
    pub fn duration(&mut self, key: &'static str) -> Option<Duration> {
        self.read(key, "a time above zero such as 30s, 500ms or 20m, at most 10y", |text| {
            duration(text).filter(|time| !time.is_zero() && *time <= DURATION_MAX)
        })
    }

    /// Parses a size in bytes, such as `512k`, `50m` or `1g`, in powers of 1024.
    pub fn size(&mut self, key: &'static str) -> Option<u64> {
        self.read(key, "a size such as 512k, 50m or 1g", size)
    }

    /// Words with commas between them.
    pub fn list(&self, key: &'static str) -> Vec<&'a str> {
        let words = self.text(key).unwrap_or_default().split(',');
        words.map(str::trim).filter(|word| !word.is_empty()).collect()
    }

    /// Addresses and networks; those that are none are left out. `None` where there is no text at all.
    pub fn networks(&mut self, key: &'static str) -> Option<Vec<Network>> {
        self.text(key)?;
        let words = self.list(key);
        let (good, bad): (Vec<_>, Vec<_>) =
            words.into_iter().map(|word| (word, Network::parse(word))).partition(|(_, it)| it.is_some());
        for (word, _) in bad {
            self.wrong.push(format!("`{}` in {}{key} is no address or network", shown(word), self.prefix));
        }
        Some(good.into_iter().filter_map(|(_, network)| network).collect())
    }
}

/// Form of a text for a message: of limited length.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// nginx's times: `ms s m h d w M y`, several after one another, seconds without a unit.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms: u64 = match &rest[digits..digits + unit] {
            "ms" => 1,
            "s" | "" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "M" => 30 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = rest[digits + unit..].trim_start();
    }
    Some(total)
}

/// nginx's sizes: bytes, or with `k`, `m` or `g`.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let (number, shift) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        _ => (&text[..], 0),
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Annotations {
        pairs.iter().map(|(name, value)| (format!("x/{name}"), (*value).to_owned())).collect()
    }

    #[test]
    fn values_are_read_kindly_in_the_spelling_of_nginx() {
        let texts = texts(&[
            ("yes", " True "),
            ("no", "OFF"),
            ("time", "1m 30s"),
            ("plain", "1300"),
            ("big", "50M"),
            ("list", " a, ,b "),
            ("empty", ""),
        ]);
        let mut reader = AnnotationReader::new(&texts, "x/");

        assert_eq!(
            (reader.switch("yes"), reader.switch("no"), reader.switch("none")),
            (Some(true), Some(false), None)
        );
        assert_eq!(reader.duration("time"), Some(Duration::from_secs(90)));
        assert_eq!(reader.duration("plain"), Some(Duration::from_secs(1300)));
        assert_eq!(reader.size("big"), Some(50 << 20));
        assert_eq!(reader.list("list"), ["a", "b"]);
        assert_eq!(reader.switch("empty"), None);
        assert_eq!(reader.into_wrong(), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_name_and_left_out() {
        let texts = texts(&[
            ("switch", "sometimes"),
            ("time", "0"),
            ("unit", "3 fortnights"),
            ("long", "11y"),
            ("size", "99999999999g"),
            ("networks", "10.0.0.0/8, office"),
            ("odd", "1"),
        ]);
        let mut reader = AnnotationReader::new(&texts, "x/");

        assert_eq!(reader.switch("switch"), None);
        assert_eq!(
            (reader.duration("time"), reader.duration("unit"), reader.size("size")),
            (None, None, None)
        );
        assert_eq!(reader.networks("networks").map(|all| all.len()), Some(1));
        assert_eq!(reader.duration("long"), None);
        reader.complain_of_others(&[]);

        let wrong = reader.into_wrong();
        assert_eq!(wrong.len(), 7, "{wrong:?}");
        assert!(wrong[0].contains("x/switch") && wrong[4].contains("office"), "{wrong:?}");
        assert!(wrong[6].contains("x/odd"), "{wrong:?}");
    }
}
