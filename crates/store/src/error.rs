//! Errors of the records, and whether a retry helps.

use domain::AppName;
use sqlx::error::ErrorKind;

use crate::AppLock;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A record that could not be read or written.
///
/// Every method of the store may return [`StoreError::Unreachable`], [`StoreError::Damaged`] and
/// [`StoreError::Refused`], writes also [`StoreError::Unknown`]; a method names the other errors that it returns.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A record that the call needs does not exist; `what` names it.
    #[error("{what} does not exist")]
    NotFound { what: String },
    /// Another record conflicts; `what` names the column or the rule.
    #[error("{what} is taken")]
    Conflict { what: String },
    /// The app is locked: it is neither deployed, scaled nor destroyed.
    #[error("{app} is locked by {lock}; unlock it with deis apps:unlock")]
    Locked { app: AppName, lock: AppLock },
    /// The database does not work now. A retry may help.
    #[error("{failure}")]
    Unreachable {
        failure: DatabaseError,
        #[source]
        cause: Cause,
    },
    /// The connection broke while a change was recorded: the whole change was recorded or nothing of it. A retry
    /// may find it done.
    #[error("the database broke off while it recorded a change, which may be recorded or not")]
    Unknown(#[source] Cause),
    /// A record cannot be read: written by a newer version, sealed with another key, or broken.
    #[error("record of {what} is damaged")]
    Damaged {
        what: String,
        #[source]
        source: Cause,
    },
    /// The URL is not one of a supported database.
    #[error("database URL is not valid: {reason}")]
    Address { reason: String },
    /// The database refused a statement: a bug of the platform.
    #[error("database refused a statement")]
    Refused(#[source] Cause),
}

/// State of the database in which it cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    #[error("database does not answer")]
    Unresponsive,
    #[error("disk of the database is full")]
    Full,
    #[error("database is read-only")]
    ReadOnly,
    #[error("another process has locked the database")]
    Locked,
    #[error("all connections to the database are in use")]
    ConnectionsExhausted,
    #[error("file of the database was removed or replaced")]
    Moved,
}

impl StoreError {
    /// Returns true if the same call may succeed later without any change here.
    pub fn can_be_retried(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unknown(_))
    }

    pub(crate) fn unreachable(failure: DatabaseError, cause: impl Into<Cause>) -> Self {
        Self::Unreachable { failure, cause: cause.into() }
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

impl DatabaseError {
    /// State of the database that an error of the driver shows; `None` if it can work.
    pub(crate) fn of(error: &sqlx::Error) -> Option<Self> {
        match error {
            sqlx::Error::Database(refusal) => failure_of(refusal.code().as_deref()?),
            sqlx::Error::PoolTimedOut => Some(Self::ConnectionsExhausted),
            sqlx::Error::RowNotFound
            | sqlx::Error::Configuration(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_) => None,
            _ => Some(Self::Unresponsive),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let Some(failure) = DatabaseError::of(&error) {
            return Self::unreachable(failure, error);
        }
        match &error {
            sqlx::Error::RowNotFound => Self::not_found("row"),
            sqlx::Error::Database(refusal) if refusal.kind() == ErrorKind::UniqueViolation => {
                Self::conflict(refusal.constraint().unwrap_or("a unique value"))
            }
            sqlx::Error::Configuration(reason) => Self::Address { reason: reason.to_string() },
            sqlx::Error::ColumnDecode { index, .. } => Self::damaged(format!("column {index}"), error),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => Self::damaged("a row", error),
            _ => Self::Refused(Box::new(error)),
        }
    }
}

/// By codes of SQLite (<https://sqlite.org/rescode.html>, an extended one has the plain one as its low byte) and
/// PostgreSQL (its manual, appendix "Error Codes").
fn failure_of(code: &str) -> Option<DatabaseError> {
    if code.len() == 5 { failure_of_postgres(code) } else { failure_of_sqlite(code.parse().ok()?) }
}

fn failure_of_postgres(code: &str) -> Option<DatabaseError> {
    match code {
        "53100" => Some(DatabaseError::Full),
        "53300" => Some(DatabaseError::ConnectionsExhausted),
        "25006" => Some(DatabaseError::ReadOnly),
        "55P03" => Some(DatabaseError::Locked),
        // Ended as it was idle inside a transaction for too long.
        "25P03" => Some(DatabaseError::Unresponsive),
        // Connection, resources, rolled back, not now (closed for maintenance), operator, system.
        _ => {
            let classes = ["08", "53", "40", "55", "57", "58"];
            classes.iter().any(|class| code.starts_with(class)).then_some(DatabaseError::Unresponsive)
        }
    }
}

fn failure_of_sqlite(code: u32) -> Option<DatabaseError> {
    /// No room to make the index of the journal larger (`SQLITE_IOERR_SHMSIZE`).
    const IOERR_SHMSIZE: u32 = 4874;
    match (code, code & 0xff) {
        (_, 13) | (IOERR_SHMSIZE, _) => Some(DatabaseError::Full),
        (_, 5 | 6) => Some(DatabaseError::Locked),
        (_, 8) => Some(DatabaseError::ReadOnly),
        // Input/output, cannot open, a lock that was not had.
        (_, 10 | 14 | 15) => Some(DatabaseError::Unresponsive),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_closed_busy_or_full_may_be_asked_again() {
        let cases = [
            ("55000", DatabaseError::Unresponsive),
            ("57P01", DatabaseError::Unresponsive),
            ("25P03", DatabaseError::Unresponsive),
            ("53100", DatabaseError::Full),
            ("25006", DatabaseError::ReadOnly),
            ("55P03", DatabaseError::Locked),
            ("53300", DatabaseError::ConnectionsExhausted),
            ("5", DatabaseError::Locked),
            ("261", DatabaseError::Locked),
            ("13", DatabaseError::Full),
            ("4874", DatabaseError::Full),
            ("10", DatabaseError::Unresponsive),
            ("1032", DatabaseError::ReadOnly),
        ];
        for (code, failure) in cases {
            assert_eq!(failure_of(code), Some(failure), "{code}");
        }
        // A syntax error, a violated constraint, SQLite's "SQL error".
        for code in ["42601", "23505", "1"] {
            assert_eq!(failure_of(code), None, "{code}");
        }
    }
}
