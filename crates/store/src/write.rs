//! Writes: one transaction each, on a connection that is sound before and after.
//!
//! The store sends `BEGIN`, `COMMIT` and `ROLLBACK` itself instead of leaving them to the driver, which counts
//! transactions on its own: a database that ends one by itself, as SQLite does when its disk is full, leaves that
//! count wrong for good. Here a connection goes back to the pool only once the database has said that no
//! transaction is open on it; any other is closed, and the pool opens a new one.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Row as _};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{Database, DatabaseError, StoreError};

/// Any number that is ours alone: PostgreSQL's lock that makes writers take turns.
const WRITERS_LOCK: i64 = 0x6465_6973;
/// Longest wait for a connection to roll back or to close, after which it is dropped as it is.
const END_MAX: Duration = Duration::from_secs(5);
/// Longest time, and pause, of asking the database about a transaction whose `COMMIT` was not answered.
const OUTCOME_MAX: Duration = Duration::from_secs(10);
const OUTCOME_PAUSE: Duration = Duration::from_millis(200);

/// A transaction under way. Dropping it rolls it back.
pub(crate) struct Write {
    /// `None` once it has ended.
    connection: Option<PoolConnection<Any>>,
    pool: AnyPool,
    database: Database,
    /// PostgreSQL's number of the transaction, by which its outcome can be asked for.
    number: Option<String>,
}

impl Write {
    pub(crate) async fn begin(pool: &AnyPool, database: Database) -> Result<Self, StoreError> {
        let connection = Some(pool.acquire().await?);
        let mut write = Self { connection, pool: pool.clone(), database, number: None };
        if let Err(error) = write.take_turn().await {
            write.end(&error).await;
            return Err(error.into());
        }
        Ok(write)
    }

    async fn take_turn(&mut self) -> Result<(), sqlx::Error> {
        if self.database == Database::Sqlite {
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut **self).await?;
            return Ok(());
        }
        sqlx::raw_sql("BEGIN").execute(&mut **self).await?;
        let turn = "SELECT CAST(pg_advisory_xact_lock($1) AS TEXT), CAST(txid_current() AS TEXT)";
        let row = sqlx::query(turn).bind(WRITERS_LOCK).fetch_one(&mut **self).await?;
        self.number = Some(row.try_get(1)?);
        Ok(())
    }

    /// Makes the write last.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unknown`] where the connection broke before the answer and the database could not be asked
    /// either: it may have been recorded. After any other error it was not.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        let Err(error) = sqlx::raw_sql("COMMIT").execute(&mut *self).await else {
            self.connection = None;
            return Ok(());
        };
        self.end(&error).await;
        if !is_outcome_unknown(self.database, &error) {
            return Err(error.into());
        }
        let (pool, number) = (self.pool.clone(), self.number.take());
        match outcome(&pool, number.as_deref()).await {
            Some(true) => Ok(()),
            Some(false) => Err(error.into()),
            None => Err(StoreError::Unknown(Box::new(error))),
        }
    }

    /// Ends after `BEGIN` or `COMMIT` failed. On PostgreSQL the connection is not used again; on SQLite it is where
    /// the disk was full or the file locked and it is sound otherwise, as a full disk may have no room to open it anew.
    async fn end(&mut self, error: &sqlx::Error) {
        let Some(connection) = self.connection.take() else { return };
        let failure = DatabaseError::of(error);
        if self.database == Database::Sqlite
            && matches!(failure, Some(DatabaseError::Full | DatabaseError::Locked))
        {
            roll_back(connection, self.database).await;
        } else {
            close(connection).await;
        }
    }
}

/// Returns true if a failed `COMMIT` may have been carried out. PostgreSQL: no response came, the connection was
/// shut down, or it says so (40003). SQLite: the disk failed, and its content decides when the file is opened
/// next.
fn is_outcome_unknown(database: Database, error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(refusal) = error else { return true };
    let code = refusal.code().unwrap_or_default();
    match database {
        Database::Sqlite => code.parse::<u32>().is_ok_and(|code| code & 0xff == 10),
        Database::Postgres => code.starts_with("08") || code.starts_with("57P") || code == "40003",
    }
}

/// Returns whether the transaction was committed, as soon as the database knows.
async fn outcome(pool: &AnyPool, number: Option<&str>) -> Option<bool> {
    let number = number?;
    let until = Instant::now() + OUTCOME_MAX;
    loop {
        let status = timeout_at(until, status(pool, number)).await.ok()?;
        match status.ok().flatten().as_deref() {
            Some("committed") => return Some(true),
            Some("aborted") => return Some(false),
            _ => timeout_at(until, sleep(OUTCOME_PAUSE)).await.ok()?,
        }
    }
}

/// PostgreSQL's status of a transaction: `committed`, `aborted`, `in progress`, or nothing if it is too long ago.
async fn status(pool: &AnyPool, number: &str) -> Result<Option<String>, sqlx::Error> {
    let asked = sqlx::query("SELECT txid_status(CAST($1 AS BIGINT))").bind(number);
    asked.fetch_one(pool).await?.try_get(0)
}

/// Gives the connection back to the pool where no transaction is open on it any more.
async fn roll_back(mut connection: PoolConnection<Any>, database: Database) {
    let rolled_back = timeout(END_MAX, sqlx::raw_sql("ROLLBACK").execute(&mut *connection)).await;
    let is_sound = match rolled_back {
        Ok(Ok(_)) => true,
        // SQLite has ended the transaction by itself.
        Ok(Err(sqlx::Error::Database(refusal))) => {
            database == Database::Sqlite && refusal.message().contains("no transaction is active")
        }
        Ok(Err(_)) | Err(_) => false,
    };
    if !is_sound {
        close(connection).await;
    }
}

/// The pool opens another one in its place.
async fn close(connection: PoolConnection<Any>) {
    let _ = timeout(END_MAX, connection.close()).await;
}

impl Drop for Write {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(roll_back(connection, self.database));
        }
    }
}

const ENDED: &str = "a write is not used after its end, which takes it";

impl Deref for Write {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        self.connection.as_deref().expect(ENDED)
    }
}

impl DerefMut for Write {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        self.connection.as_deref_mut().expect(ENDED)
    }
}
