//! What can go wrong with the records, and whether trying again helps.

use sqlx::error::ErrorKind;

type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The record that a write needs is not there.
    #[error("{what} does not exist")]
    NotFound { what: String },
    /// Another record stands in the way; `what` names the column or the rule.
    #[error("{what} is taken")]
    Conflict { what: String },
    /// Trying again later may help: no connection, a full disk, a lock that was held too long.
    #[error("database does not answer")]
    Unreachable(#[source] Cause),
    /// A record cannot be read: written by a newer version, sealed with another key, or broken.
    #[error("record of {what} is damaged")]
    Damaged {
        what: String,
        #[source]
        source: Cause,
    },
    /// The address is no database that we know.
    #[error("database URL is not valid: {reason}")]
    Address { reason: String },
    /// The database refused a statement, which is a bug of ours.
    #[error("database refused a statement")]
    Refused(#[source] Cause),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything here.
    pub fn can_be_retried(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }

    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self::Conflict { what: what.into() }
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(crate) fn damaged(what: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Damaged { what: what.into(), source: source.into() }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Self::not_found("row"),
            sqlx::Error::Database(refusal) if refusal.kind() == ErrorKind::UniqueViolation => {
                Self::conflict(refusal.constraint().unwrap_or("a unique value"))
            }
            sqlx::Error::Database(refusal) if code_may_pass(refusal.code().as_deref()) => {
                Self::Unreachable(Box::new(error))
            }
            sqlx::Error::Database(_) => Self::Refused(Box::new(error)),
            sqlx::Error::Configuration(reason) => Self::Address { reason: reason.to_string() },
            sqlx::Error::ColumnDecode { index, .. } => Self::damaged(format!("column {index}"), error),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => Self::damaged("a row", error),
            _ => Self::Unreachable(Box::new(error)),
        }
    }
}

/// SQLite: busy (5), locked (6), input/output (10), full (13), cannot open (14), each also as the low
/// byte of an extended code. PostgreSQL: connection (08), resources (53), not now (55: closed for
/// maintenance, locked), operator (57), rolled back (40).
fn code_may_pass(code: Option<&str>) -> bool {
    let Some(code) = code else { return false };
    if code.len() == 5 {
        return ["08", "53", "55", "57", "40"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_closed_or_busy_may_be_asked_again() {
        // A database that accepts no connections now, one that shuts down, SQLite's busy and its extended form.
        for code in ["55000", "57P01", "5", "261"] {
            assert!(code_may_pass(Some(code)), "{code}");
        }
        // A syntax error, a violated constraint, SQLite's "SQL error".
        for code in ["42601", "23505", "1"] {
            assert!(!code_may_pass(Some(code)), "{code}");
        }
    }
}
