//! HTTPS enforcement of an app (docs/spec/api.md 4.18).

use serde_json::Value;

use crate::bool_text::bool_or_null;

/// A setting that was refused. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("{0}")]
    Invalid(String),
    #[error("{user} changed nothing")]
    Unchanged { user: String },
}

/// Reads `https_enforced` of a body; `None` where it is absent or null.
///
/// # Errors
///
/// [`TlsError::Invalid`].
pub fn parse_enforcement(value: Option<&Value>) -> Result<Option<bool>, TlsError> {
    bool_or_null(value.unwrap_or(&Value::Null)).map_err(TlsError::Invalid)
}

/// Decides the enforcement after `enforced`; `None` is always accepted.
///
/// # Errors
///
/// [`TlsError::Unchanged`] where it has that value already.
pub fn next_enforcement(
    user: &str,
    current: Option<bool>,
    enforced: Option<bool>,
) -> Result<Option<bool>, TlsError> {
    if enforced.is_some() && enforced == current {
        return Err(TlsError::Unchanged { user: user.to_owned() });
    }
    Ok(enforced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_setting_again_changes_nothing_unless_it_leaves_it_open() {
        let next = |current, enforced| next_enforcement("alice", current, enforced);

        assert_eq!(next(None, Some(false)), Ok(Some(false)));
        assert_eq!(next(Some(true), Some(false)), Ok(Some(false)));
        assert_eq!(next(None, None), Ok(None));
        let unchanged = next(Some(true), Some(true)).expect_err("nothing changes");
        assert_eq!(unchanged.to_string(), "alice changed nothing");
    }
}
