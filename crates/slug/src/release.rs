//! `.release`: what a pack's `bin/release` says about the app, as YAML.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::failure::{OrFailure, SlugError};

/// Name of the file at the root of a slug.
pub const FILE: &str = ".release";

/// Largest release document that is read, in bytes.
pub const BYTES_MAX: u64 = 1024 * 1024;

/// Defaults that a pack gives to the app; `addons` is read over, the platform has none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PackRelease {
    /// Environment for the app's processes, used where nobody set a value.
    pub config_vars: BTreeMap<String, String>,
    /// Process types of an app whose Procfile does not name them.
    pub default_process_types: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
struct Document {
    #[serde(default)]
    config_vars: Option<BTreeMap<String, Scalar>>,
    #[serde(default)]
    default_process_types: Option<BTreeMap<String, Scalar>>,
}

/// YAML reads `8080` as a number and `yes` as a boolean; a pack means the text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl From<Scalar> for String {
    fn from(scalar: Scalar) -> String {
        match scalar {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Integer(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            Scalar::Text(value) => value,
        }
    }
}

impl PackRelease {
    /// Parses a release document; an empty one says nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.lines().all(|line| matches!(line.trim(), "" | "---" | "--- {}" | "{}")) {
            return Ok(Self::default());
        }
        let document: Option<Document> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let Document { config_vars, default_process_types } = document.unwrap_or_default();
        Ok(Self { config_vars: texts(config_vars), default_process_types: texts(default_process_types) })
    }

    /// Reads the file of a slug; a missing one says nothing.
    pub fn read(dir: &Path) -> Result<Self, SlugError> {
        let path = dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).or_fail(format!("read {}", path.display())),
        };
        Self::parse(&text)
            .map_err(|reason| SlugError::data(format!("{} is not valid: {reason}", path.display())))
    }
}

fn texts(map: Option<BTreeMap<String, Scalar>>) -> BTreeMap<String, String> {
    map.unwrap_or_default().into_iter().map(|(name, value)| (name, value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_gives_variables_and_process_types_as_texts() {
        let release = PackRelease::parse(
            "---\naddons: []\nconfig_vars:\n  WORKERS: 2\n  DEBUG: false\n\
             default_process_types:\n  web: bin/serve --port $PORT\n",
        )
        .expect("well-formed");

        assert_eq!(release.config_vars["WORKERS"], "2");
        assert_eq!(release.config_vars["DEBUG"], "false");
        assert_eq!(release.default_process_types["web"], "bin/serve --port $PORT");
    }

    #[test]
    fn an_empty_release_says_nothing() {
        for empty in ["", "\n", "--- {}\n", "---\n", "{}", "---\naddons:\nconfig_vars:\n"] {
            assert_eq!(PackRelease::parse(empty), Ok(PackRelease::default()), "{empty:?}");
        }
    }

    #[test]
    fn a_release_that_is_no_map_is_refused() {
        assert!(PackRelease::parse("- web\n- worker\n").is_err());
        assert!(PackRelease::parse("config_vars: [1").is_err());
    }
}
