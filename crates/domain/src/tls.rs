//! Whether an app is served over HTTPS alone (api.md 4.18).

use serde_json::Value;

use crate::truth::truth_or_null;

/// Why the wish is not taken. The display text is what the API answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("{0}")]
    Invalid(String),
    #[error("{user} changed nothing")]
    Unchanged { user: String },
}

/// Reads `https_enforced` of a body; an absent one leaves it open.
pub fn parse_enforcement(value: Option<&Value>) -> Result<Option<bool>, TlsError> {
    truth_or_null(value.unwrap_or(&Value::Null)).map_err(TlsError::Invalid)
}

/// Decides what is enforced after `wish`. Leaving it open is always taken.
pub fn next_enforcement(
    user: &str,
    current: Option<bool>,
    wish: Option<bool>,
) -> Result<Option<bool>, TlsError> {
    if wish.is_some() && wish == current {
        return Err(TlsError::Unchanged { user: user.to_owned() });
    }
    Ok(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_wish_again_changes_nothing_unless_it_leaves_it_open() {
        let next = |current, wish| next_enforcement("alice", current, wish);

        assert_eq!(next(None, Some(false)), Ok(Some(false)));
        assert_eq!(next(Some(true), Some(false)), Ok(Some(false)));
        assert_eq!(next(None, None), Ok(None));
        let unchanged = next(Some(true), Some(true)).expect_err("nothing changes");
        assert_eq!(unchanged.to_string(), "alice changed nothing");
    }
}
