//! Names that are always valid: parsed once on entry, trusted afterwards.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest app name, in characters: it becomes a DNS label and a Kubernetes namespace (RFC 1123).
pub const APP_NAME_LENGTH_MAX: usize = 63;

/// An invalid name. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error(
        "App name must start with an alphabetic character, cannot end with a hyphen and can only contain \
         a-z (lowercase), 0-9 and hyphens."
    )]
    App,
    #[error("Ensure this field has no more than {APP_NAME_LENGTH_MAX} characters.")]
    AppTooLong,
    #[error("Process types can only contain lowercase alphanumeric characters")]
    ProcessType,
}

/// Name of an app, unique on the platform: `^[a-z]([a-z0-9-]*[a-z0-9])?$`, at most 63 characters
/// (docs/spec/api.md 4.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

impl AppName {
    /// Parses a name as a user typed it.
    ///
    /// # Errors
    ///
    /// [`NameError::AppTooLong`] above [`APP_NAME_LENGTH_MAX`] characters, else [`NameError::App`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.chars().count() > APP_NAME_LENGTH_MAX {
            return Err(NameError::AppTooLong);
        }
        let bytes = text.as_bytes();
        let starts_well = bytes.first().is_some_and(u8::is_ascii_lowercase);
        let ends_well = bytes.last().is_some_and(|last| *last != b'-');
        if starts_well && ends_well && bytes.iter().all(|byte| is_label_byte(*byte)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::App)
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Name of a process type, a key of the Procfile: `^[a-z0-9]+(-[a-z0-9]+)*$` (docs/spec/api.md 4.7).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessType(String);

impl ProcessType {
    /// Parses a process type as a Procfile or a user gives it.
    ///
    /// # Errors
    ///
    /// [`NameError::ProcessType`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let words_well = text.split('-').all(|word| !word.is_empty());
        if words_well && text.bytes().all(is_label_byte) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::ProcessType)
        }
    }

    /// The process type that serves HTTP for an app with a Procfile.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The implicit process type: an image's own command.
    pub fn cmd() -> Self {
        Self("cmd".to_owned())
    }

    /// The type of one-off processes; never part of an app's structure.
    pub fn run() -> Self {
        Self("run".to_owned())
    }

    /// Returns true if the router may send requests to processes of this type (docs/spec/api.md 5.1).
    pub fn is_routable(&self) -> bool {
        self.0 == "web" || self.0 == "cmd"
    }

    /// The process type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

macro_rules! text_conversions {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

text_conversions!(AppName);
text_conversions!(ProcessType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_name_is_a_dns_label_that_starts_with_a_letter() {
        for good in ["a", "a1", "brisk-walrus", "a--b"] {
            assert_eq!(AppName::parse(good).map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "1a", "-a", "a-", "A", "a_b", "a.b", "a b", "../x", "ä"] {
            assert_eq!(AppName::parse(bad), Err(NameError::App), "{bad:?}");
        }
        assert_eq!(AppName::parse(&"a".repeat(64)), Err(NameError::AppTooLong));
    }

    #[test]
    fn a_process_type_is_words_joined_by_single_hyphens() {
        for good in ["web", "1", "worker-2"] {
            assert!(ProcessType::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "-web", "web-", "a--b", "Web", "w_b", "w b"] {
            assert_eq!(ProcessType::parse(bad), Err(NameError::ProcessType), "{bad:?}");
        }
    }
}
