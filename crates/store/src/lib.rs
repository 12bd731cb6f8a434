//! Records of the platform in SQLite or PostgreSQL: one file of queries per resource.
//!
//! One SQL text serves both databases. Nothing is decided here: rules live in `domain`, and the
//! only checks are those that must happen together with a write. Only the controller opens the store.

mod apps;
mod auto_certs;
mod builds;
mod certs;
mod collaborators;
mod configs;
mod deploys;
mod domains;
mod error;
mod keys;
mod lead;
mod open;
mod people;
mod releases;
mod resealing;
mod rows;
mod services;
mod settings;
mod tls;
mod tokens;
mod users;
mod wishes;

use domain::sealing::{NONCE_BYTES, SealingKeys};
use sqlx::{Any, AnyPool, Transaction};

pub use apps::{App, CreatedApp, NewApp};
pub use auto_certs::{AutoDomain, AutoOrder, IssuedCert};
pub use builds::BuildRecord;
pub use certs::{Cert, NewCert};
pub use configs::ConfigRecord;
pub use deploys::{Deploy, DeployKind, DeployState};
pub use domains::{Domain, NewDomain};
pub use error::StoreError;
pub use keys::{Key, NewKey};
pub use lead::Lead;
pub use releases::{ReleaseContent, ReleaseRecord};
pub use resealing::Resealing;
pub use services::{NewService, Service, ServiceWish};
pub use settings::{SettingsRecord, SettingsWish};
pub use tls::TlsRecord;
pub use users::{NewUser, User};
pub use wishes::{ReleaseChange, Wish, WishError};

/// Any number that is ours alone: PostgreSQL's lock that makes writers take turns.
const WRITERS_LOCK: i64 = 0x6465_6973;

/// The records of one platform. A clone is a handle to the same database.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    database: Database,
    sealing: SealingKeys,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Database {
    Sqlite,
    Postgres,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub limit: i64,
    pub offset: i64,
}

/// One part of a list, and how many rows there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    pub count: u64,
    pub rows: Vec<T>,
}

impl Page {
    /// The whole list.
    pub const ALL: Self = Self { limit: i64::MAX, offset: 0 };
}

impl Store {
    /// Opens the database at `url`, making file and tables where they are missing.
    ///
    /// `sqlite:///var/lib/workflow/workflow.db` or `postgres://user:password@host/database`.
    pub async fn open(url: &str, sealing: impl Into<SealingKeys>) -> Result<Self, StoreError> {
        let (pool, database) = open::open(url).await?;
        Ok(Self { pool, database, sealing: sealing.into() })
    }

    /// Asks the database a question that costs nothing.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes all connections, after which a SQLite file is whole without its journal.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a write. Writers take turns on both databases, so what a write has read stays true
    /// until it commits. Dropping it undoes it. Inside, use only the transaction: SQLite has one
    /// connection.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Any>, StoreError> {
        match self.database {
            Database::Sqlite => Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?),
            Database::Postgres => {
                let mut write = self.pool.begin().await?;
                sqlx::query("SELECT CAST(pg_advisory_xact_lock($1) AS TEXT)")
                    .bind(WRITERS_LOCK)
                    .execute(&mut *write)
                    .await?;
                Ok(write)
            }
        }
    }

    /// Seals `plain` for the place `context`; it opens nowhere else.
    pub(crate) fn seal(&self, context: &str, plain: &[u8]) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        self.sealing.seal(context, plain, nonce)
    }

    /// Opens what [`Store::seal`] sealed for the same place.
    pub(crate) fn unseal(&self, context: &str, sealed: &str) -> Result<Vec<u8>, StoreError> {
        self.sealing.open(context, sealed).map_err(|source| StoreError::damaged(context, source))
    }
}
