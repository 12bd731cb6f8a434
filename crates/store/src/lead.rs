//! Leader election: of several controllers on one database, the leader carries out what is recorded.
//!
//! On PostgreSQL it holds an advisory lock, on a connection of its own; with the connection the lock is gone,
//! also where the process was killed or, after some 25 s, its machine cut off. A SQLite file has one controller, which always leads.

use sqlx::pool::PoolConnection;
use sqlx::{Any, Connection as _, Row as _};

use crate::{Database, Store, StoreError};

/// Any number that is ours alone, and not that of the writers.
const LEAD_LOCK: i64 = 0x6465_6974;

/// The lead, for as long as this value lives and [`Leadership::holds`].
pub struct Leadership {
    connection: Option<PoolConnection<Any>>,
}

impl Store {
    /// Takes the lead; `None` while another process has it. On SQLite, which has one process, it is always free.
    pub async fn lead(&self) -> Result<Option<Leadership>, StoreError> {
        if self.database == Database::Sqlite {
            return Ok(Some(Leadership { connection: None }));
        }
        let mut connection = self.pool.acquire().await?;
        let asked = "SELECT CAST(pg_try_advisory_lock($1) AS TEXT)";
        let taken: String =
            sqlx::query(asked).bind(LEAD_LOCK).fetch_one(&mut *connection).await?.try_get(0)?;
        Ok((taken == "true").then_some(Leadership { connection: Some(connection) }))
    }
}

impl Leadership {
    /// Returns true if the database still knows this process as the leader.
    pub async fn holds(&mut self) -> bool {
        match &mut self.connection {
            None => true,
            Some(connection) => connection.ping().await.is_ok(),
        }
    }
}

impl Drop for Leadership {
    /// The lock goes with the connection, which must not go back to the pool.
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}
