//! `group.toml`: the buildpacks that passed detection.

use serde::{Deserialize, Serialize};

use crate::api::ApiVersion;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    #[serde(default)]
    pub group: Vec<GroupBuildpack>,
    #[serde(default, rename = "group-extensions", skip_serializing)]
    pub extensions: Vec<Extension>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupBuildpack {
    pub id: String,
    pub version: String,
    pub api: ApiVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
}

/// An image extension: none is supported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    #[serde(default)]
    pub id: String,
}

impl GroupBuildpack {
    pub fn folder(&self) -> String {
        folder_of(&self.id)
    }
}

/// Name of a buildpack's folder in `<layers>` and in `<buildpacks>`.
pub fn folder_of(id: &str) -> String {
    id.replace('/', "_")
}

/// The rule of buildpack ids, which become names of folders.
pub fn check_id(id: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'-' | b'_');
    let is_reserved = matches!(id, "app" | "config" | "generated" | "sbom" | "" | "." | "..");
    match is_reserved
        || id.len() > 200
        || !id.bytes().all(is_allowed)
        || id.split('/').any(|part| part == "..")
    {
        true => Err(format!("`{id}` is not an id of a buildpack")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_lead_elsewhere_are_refused() {
        assert!(check_id("heroku/nodejs-engine").is_ok());
        for wrong in ["", "..", "a/../b", "config", "sbom", "a b", "a\0"] {
            assert!(check_id(wrong).is_err(), "{wrong:?}");
        }
    }
}
