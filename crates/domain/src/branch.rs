//! Branches of git: names of them, and the one that deploys an app.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name of a branch or tag, in bytes.
pub const REF_NAME_BYTES_MAX: usize = 200;
/// Branches of which a new app keeps the first that is pushed, the preferred one first.
pub const FIRST_BRANCHES: [&str; 2] = ["main", "master"];
/// Text form of [`DeployBranch::Any`]; no branch can have this name.
const ANY: &str = "*";

/// An invalid branch name. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BranchError {
    #[error(
        "not a name of a branch (git check-ref-format); use a name such as `main` without `refs/heads/`, or `*` for \
         any branch"
    )]
    Malformed,
    #[error("Ensure this field has no more than {REF_NAME_BYTES_MAX} bytes.")]
    TooLong,
}

/// The branch whose pushes deploy an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeployBranch {
    /// Every push of a branch deploys.
    Any,
    /// A branch of this name, without `refs/heads/`.
    Named(String),
}

impl DeployBranch {
    /// Parses the name of a branch, or `*` for any.
    ///
    /// # Errors
    ///
    /// [`BranchError::TooLong`], or [`BranchError::Malformed`] for a name that git does not allow for a branch.
    pub fn parse(text: &str) -> Result<Self, BranchError> {
        if text == ANY {
            return Ok(Self::Any);
        }
        if text.len() > REF_NAME_BYTES_MAX {
            return Err(BranchError::TooLong);
        }
        if !is_ref_name(text) || text.starts_with("refs/") || text == "HEAD" {
            return Err(BranchError::Malformed);
        }
        Ok(Self::Named(text.to_owned()))
    }
}

impl fmt::Display for DeployBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => ANY,
            Self::Named(name) => name,
        })
    }
}

impl TryFrom<String> for DeployBranch {
    type Error = BranchError;
    fn try_from(text: String) -> Result<Self, BranchError> {
        Self::parse(&text)
    }
}

impl From<DeployBranch> for String {
    fn from(branch: DeployBranch) -> String {
        branch.to_string()
    }
}

/// The rules of `git check-ref-format` for what follows `refs/heads/`, with a bound on the length.
pub fn is_ref_name(name: &str) -> bool {
    let is_bad = |letter: char| letter.is_ascii_control() || " ~^:?*[\\".contains(letter);
    let is_good_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.len() <= REF_NAME_BYTES_MAX
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.starts_with('-')
        && name != "@"
        && !name.contains(is_bad)
        && name.split('/').all(is_good_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_named_as_git_names_it_or_any() {
        assert_eq!(DeployBranch::parse("*"), Ok(DeployBranch::Any));
        for good in ["main", "feature/x-1", "ünïcode", "a.b", "v1.0"] {
            assert_eq!(DeployBranch::parse(good), Ok(DeployBranch::Named(good.to_owned())), "{good:?}");
            assert_eq!(DeployBranch::parse(good).map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "a..b", "a b", "-a", "@", "**", "refs/heads/main", "HEAD", "a/", "a\n"] {
            assert_eq!(DeployBranch::parse(bad), Err(BranchError::Malformed), "{bad:?}");
        }
        assert_eq!(DeployBranch::parse(&"a".repeat(201)), Err(BranchError::TooLong));
    }
}
