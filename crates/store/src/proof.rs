//! Proof that the database takes writes, for readiness checks.
//!
//! Anyone may call them, so a proof is reused for a time.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::{Database, DatabaseError, Store, StoreError};

/// Time for which a proof is valid: there is at most one write in it.
const HOLDS_FOR: Duration = Duration::from_secs(1);
/// Longest duration of the write.
const WRITE_MAX: Duration = Duration::from_secs(3);

/// The last proof; concurrent callers wait for the one under way.
#[derive(Default)]
pub(crate) struct Proof(Mutex<Option<ProofResult>>);

struct ProofResult {
    at: Instant,
    failure: Option<(DatabaseError, String)>,
}

impl Store {
    /// Proves by a small write that the next one will be taken, at most once a second.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`] with the state of the database; callers within the same second share it.
    pub async fn prove_write(&self) -> Result<(), StoreError> {
        let mut last = self.proof.0.lock().await;
        if last.as_ref().is_none_or(|proven| proven.at.elapsed() >= HOLDS_FOR) {
            let proven = timeout(WRITE_MAX, self.write_proof()).await.unwrap_or_else(|_| {
                let reason = format!("a small write took more than {WRITE_MAX:?}");
                Err(StoreError::unreachable(DatabaseError::Unresponsive, reason))
            });
            let failure = match proven {
                Ok(()) => None,
                Err(StoreError::Unreachable { failure, cause }) => Some((failure, cause.to_string())),
                Err(other) => Some((DatabaseError::Unresponsive, other.to_string())),
            };
            *last = Some(ProofResult { at: Instant::now(), failure });
        }
        match last.as_ref().and_then(|proven| proven.failure.as_ref()) {
            None => Ok(()),
            Some((failure, cause)) => Err(StoreError::unreachable(*failure, cause.clone())),
        }
    }

    async fn write_proof(&self) -> Result<(), StoreError> {
        let put = sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('written', $1) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(rand::random::<u32>().to_string());
        if self.database == Database::Postgres {
            // Without a turn: a long line of writers is no reason not to be ready.
            put.execute(&self.pool).await?;
            return Ok(());
        }
        let mut write = self.write().await?;
        put.execute(&mut *write).await?;
        write.commit().await
    }
}
