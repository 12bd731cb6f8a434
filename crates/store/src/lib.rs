//! Records of the platform in SQLite or PostgreSQL: one file of queries per resource.
//!
//! One SQL text serves both databases. Nothing is decided here: rules live in `domain`, and the
//! only checks are those that must happen together with a write. Only the controller opens the store.

mod access_version;
mod apps;
mod auto_certs;
mod builds;
mod certs;
mod changes;
mod collaborators;
mod configs;
mod database_file;
mod deploy_steps;
mod deploys;
mod domains;
mod error;
mod keys;
mod lead;
mod open;
mod people;
mod proof;
mod releases;
mod resealing;
mod retention;
mod rows;
mod services;
mod settings;
mod tidying;
mod tls;
mod tokens;
mod users;
mod write;

use std::sync::Arc;

use domain::sealing::{NONCE_BYTES, SealingKeys};
use sqlx::AnyPool;

pub use apps::{AppLock, AppRecord, CreatedApp, NewApp};
pub use auto_certs::{AutoDomainRecord, AutoOrder, IssuedCert};
pub use builds::BuildRecord;
pub use certs::{CertRecord, NewCert};
pub use changes::{ChangeError, RecordedChange, ReleaseChange};
pub use configs::ConfigRecord;
pub use deploy_steps::{DeployStep, DeployStepKind, StepOutcome};
pub use deploys::{Deploy, DeployKind, DeployState};
pub use domains::{DomainRecord, NewDomain};
pub use error::{DatabaseError, StoreError};
pub use keys::{KeyRecord, NewKey};
pub use lead::Leadership;
pub use releases::{ReleaseContent, ReleaseRecord};
pub use resealing::ResealWalk;
pub use services::{NewService, ServiceChange, ServiceRecord};
pub use settings::{RecordedSettings, SettingsRecord};
pub use tidying::TidyWalk;
pub use tls::TlsRecord;
pub use users::{NewUser, UserRecord};

use database_file::DatabaseFile;
use proof::Proof;
use write::Write;

/// The records of one platform. A clone is a handle to the same database.
#[derive(Clone)]
pub struct Store {
    pool: AnyPool,
    database: Database,
    sealing: SealingKeys,
    /// Path of the SQLite file.
    place: Option<Arc<DatabaseFile>>,
    proof: Arc<Proof>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Database {
    Sqlite,
    Postgres,
}

/// Part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange {
    pub limit: i64,
    pub offset: i64,
}

/// One part of a list, and how many rows there are in all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows<T> {
    pub count: u64,
    pub rows: Vec<T>,
}

impl PageRange {
    /// The whole list.
    pub const ALL: Self = Self { limit: i64::MAX, offset: 0 };
}

impl Store {
    /// Opens the database at `url`, making file and tables where they are missing.
    ///
    /// `sqlite:///var/lib/workflow/workflow.db` or `postgres://user:password@host/database`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Address`] for a URL that is neither; [`StoreError::Damaged`] for tables of a newer version;
    /// [`StoreError::Unreachable`] where the database or the file system does not work, which a retry may help.
    pub async fn open(url: &str, sealing: impl Into<SealingKeys>) -> Result<Self, StoreError> {
        let (pool, database, place) = open::open(url).await?;
        let (sealing, place) = (sealing.into(), place.map(Arc::new));
        Ok(Self { pool, database, sealing, place, proof: Arc::default() })
    }

    /// Checks by a query that the database answers; see [`Store::prove_write`] for writes.
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
    pub(crate) async fn write(&self) -> Result<Write, StoreError> {
        if let Some(place) = &self.place {
            place.check()?;
        }
        Write::begin(&self.pool, self.database).await
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
