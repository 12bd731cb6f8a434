//! Flags in the form of the reference lifecycle: `-layers DIR`, `-layers=DIR`, `--layers DIR`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use crate::failure::{LifecycleError, Result, code};

/// Flags without a value.
const SWITCHES: &[&str] = &["skip-layers", "keep-launch-layers", "force"];

/// Flags of one call, and the environment that has the values of those that are not given.
pub struct Flags {
    given: BTreeMap<String, String>,
    variable: fn(&str) -> Option<String>,
}

impl Flags {
    /// Parses the words behind the phase's name; `known` are the phase's flags.
    pub fn parse(
        words: impl IntoIterator<Item = String>,
        known: &[&str],
        variable: fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let mut words = words.into_iter();
        let mut given = BTreeMap::new();
        while let Some(word) = words.next() {
            let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
            let flag = flag.ok_or_else(|| usage(format!("`{word}` is not a flag")))?;
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            if !known.contains(&name) {
                return Err(usage(format!("flag -{name} is not known; there are -{}", known.join(", -"))));
            }
            let value = match value {
                None if SWITCHES.contains(&name) => "true".to_owned(),
                None => words.next().ok_or_else(|| usage(format!("flag -{name} needs a value")))?,
                Some(value) => value,
            };
            given.insert(name.to_owned(), value);
        }
        Ok(Self { given, variable })
    }

    /// Value of the flag, or else of the variable.
    pub fn text(&self, flag: &str, variable: &str) -> Option<String> {
        let of_variable = || (self.variable)(variable).filter(|value| !value.is_empty());
        self.given.get(flag).cloned().or_else(of_variable)
    }

    pub fn path(&self, flag: &str, variable: &str, default: impl Into<PathBuf>) -> PathBuf {
        self.text(flag, variable).map_or_else(|| default.into(), PathBuf::from)
    }

    /// A flag that has no variable and may be absent.
    pub fn given_path(&self, flag: &str) -> Option<PathBuf> {
        self.given.get(flag).map(PathBuf::from)
    }

    /// A flag that must be there.
    pub fn needed_path(&self, flag: &str) -> Result<PathBuf> {
        self.given_path(flag).ok_or_else(|| usage(format!("flag -{flag} is missing")))
    }

    pub fn number<T: FromStr>(&self, flag: &str, variable: &str) -> Result<Option<T>> {
        let value = self.text(flag, variable);
        let parsed =
            |text: String| text.parse().map_err(|_| usage(format!("-{flag} `{text}` is not a number")));
        value.map(parsed).transpose()
    }

    pub fn is_set(&self, flag: &str, variable: &str) -> bool {
        self.text(flag, variable).is_some_and(|value| matches!(value.as_str(), "true" | "1"))
    }
}

fn usage(message: String) -> LifecycleError {
    LifecycleError::new(code::USAGE, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Flags> {
        let variable = |name: &str| (name == "CNB_LAYERS_DIR").then(|| "/of-variable".to_owned());
        Flags::parse(line.split_whitespace().map(str::to_owned), &["layers", "uid", "skip-layers"], variable)
    }

    #[test]
    fn flags_win_over_variables_and_variables_over_defaults() {
        for (line, expected) in [("-layers /a", "/a"), ("--layers=/a", "/a"), ("", "/of-variable")] {
            let flags = parsed(line).expect("flags");

            assert_eq!(
                flags.path("layers", "CNB_LAYERS_DIR", "/layers"),
                PathBuf::from(expected),
                "{line:?}"
            );
            assert_eq!(flags.path("app", "CNB_APP_DIR", "/workspace"), PathBuf::from("/workspace"));
        }
    }

    #[test]
    fn a_switch_takes_no_word() {
        let flags = parsed("-skip-layers -uid 7").expect("flags");

        assert!(flags.is_set("skip-layers", "CNB_SKIP_LAYERS"));
        assert_eq!(flags.number::<u32>("uid", "CNB_USER_ID"), Ok(Some(7)));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (line, named) in
            [("-x 1", "-x"), ("layers", "`layers`"), ("-layers", "-layers"), ("-uid x", "-uid")]
        {
            let error = parsed(line).and_then(|flags| flags.number::<u32>("uid", "").map(|_| ()));

            assert!(error.expect_err("refused").message.contains(named), "{line}");
        }
    }
}
