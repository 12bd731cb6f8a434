//! Versions of the Platform API and the Buildpack API, and those that this lifecycle knows.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::failure::{LifecycleError, Result, code};

/// `<major>.<minor>` or `<major>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiVersion(pub u64, pub u64);

/// The lowest and the highest Platform API.
pub const PLATFORM_APIS: (ApiVersion, ApiVersion) = (ApiVersion(0, 12), ApiVersion(0, 15));
/// The lowest and the highest Buildpack API.
pub const BUILDPACK_APIS: (ApiVersion, ApiVersion) = (ApiVersion(0, 7), ApiVersion(0, 12));

impl FromStr for ApiVersion {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse().map_err(|_| format!("`{text}` is not an API version")),
            false => Err(format!("`{text}` is not an API version")),
        };
        Ok(Self(number(major)?, number(minor)?))
    }
}

impl TryFrom<String> for ApiVersion {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<ApiVersion> for String {
    fn from(version: ApiVersion) -> Self {
        version.to_string()
    }
}

impl Display for ApiVersion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// Reads `CNB_PLATFORM_API`.
pub fn platform_api(value: Option<&str>) -> Result<ApiVersion> {
    let refused = |message: String| LifecycleError::new(code::PLATFORM_API, message);
    let value = value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| refused("CNB_PLATFORM_API is not set".to_owned()))?;
    let version: ApiVersion = value.parse().map_err(|error| refused(format!("CNB_PLATFORM_API: {error}")))?;
    let (lowest, highest) = PLATFORM_APIS;
    match (lowest..=highest).contains(&version) {
        true => Ok(version),
        false => Err(refused(format!("Platform API {version} is not one of {lowest} to {highest}"))),
    }
}

/// Refuses the API of a buildpack that this lifecycle does not know.
pub fn check_buildpack_api(buildpack: &str, version: ApiVersion) -> Result<()> {
    let (lowest, highest) = BUILDPACK_APIS;
    match (lowest..=highest).contains(&version) {
        true => Ok(()),
        false => Err(LifecycleError::new(
            code::BUILDPACK_API,
            format!(
                "buildpack {buildpack} has Buildpack API {version}, which is not one of {lowest} to {highest}"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text: &str| text.parse::<ApiVersion>();

        assert!(version("0.9") < version("0.12"));
        assert_eq!(version("1"), Ok(ApiVersion(1, 0)));
        for wrong in ["", "0.", "0.1.2", "a", "+1", "0.-1"] {
            assert!(version(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_unknown_platform_api_is_exit_code_11() {
        for wrong in [None, Some(""), Some("0.11"), Some("0.16"), Some("x")] {
            assert_eq!(platform_api(wrong).expect_err("refused").exit_code, 11, "{wrong:?}");
        }
        assert_eq!(platform_api(Some("0.12")), Ok(ApiVersion(0, 12)));
    }

    #[test]
    fn an_unknown_buildpack_api_is_exit_code_12() {
        assert_eq!(check_buildpack_api("a/b@1.0.0", ApiVersion(0, 13)).expect_err("refused").exit_code, 12);
        assert!(check_buildpack_api("a/b@1.0.0", ApiVersion(0, 7)).is_ok());
    }
}
