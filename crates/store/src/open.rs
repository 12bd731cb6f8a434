//! Opening a database: address, file, connection settings, migrations.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Once;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyPool, Connection as _, SqlStr};

use crate::database_file::DatabaseFile;
use crate::{Database, DatabaseError, StoreError};

/// Connections to PostgreSQL. SQLite has one: it has one writer anyway, and reads are quick.
const POSTGRES_CONNECTIONS_MAX: u32 = 8;
/// Seconds that a call waits for a connection.
const ACQUIRE_SECONDS_MAX: u64 = 15;

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "settings", include_str!("../migrations/0002_settings.sql")),
    (3, "pages", include_str!("../migrations/0003_pages.sql")),
    (4, "auto_certs", include_str!("../migrations/0004_auto_certs.sql")),
    (5, "config_parts", include_str!("../migrations/0005_config_parts.sql")),
    (6, "chosen_counts", include_str!("../migrations/0006_chosen_counts.sql")),
    (7, "app_locks", include_str!("../migrations/0007_app_locks.sql")),
    (8, "deploy_steps", include_str!("../migrations/0008_deploy_steps.sql")),
];

/// Run on every new SQLite connection. FULL: what was answered as done survives a loss of power. Of a new file:
/// `auto_vacuum`, so that it can shrink. The journal goes into the file every 1,000 pages of 4 KiB, and is then cut
/// to 16 MiB.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA auto_vacuum = INCREMENTAL; \
     PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
     PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 16777216;";

/// Longest that a connection which comes back to the pool may take to say that it still works.
const RETURN_MAX: Duration = Duration::from_secs(5);

/// Run on every new PostgreSQL connection: no statement, and no writer's turn, takes for ever. A machine that vanishes
/// without a word is missed by the server after 25 s, and its locks, the lead among them, are free.
const POSTGRES_SETTINGS: &str = "SET statement_timeout = '60s'; SET lock_timeout = '15s'; \
     SET idle_in_transaction_session_timeout = '60s'; \
     SET tcp_keepalives_idle = '10s'; SET tcp_keepalives_interval = '5s'; SET tcp_keepalives_count = 3; \
     SET tcp_user_timeout = '25s';";

/// Lets one SQL text order texts byte by byte on both databases.
const POSTGRES_COLLATION: &str = "CREATE COLLATION IF NOT EXISTS \"BINARY\" FROM \"C\"";

pub(crate) async fn open(url: &str) -> Result<(AnyPool, Database, Option<DatabaseFile>), StoreError> {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(sqlx::any::install_default_drivers);
    let (pool, database, place) = match url.strip_prefix("sqlite://") {
        Some(path) => (open_sqlite(path).await?, Database::Sqlite, Some(DatabaseFile::of(path)?)),
        None => (open_postgres(url).await?, Database::Postgres, None),
    };
    migrate(&pool).await?;
    Ok((pool, database, place))
}

async fn open_sqlite(path: &str) -> Result<AnyPool, StoreError> {
    if !path.starts_with('/') {
        let reason = "write sqlite:// and an absolute path, such as sqlite:///var/lib/workflow/workflow.db";
        return Err(StoreError::Address { reason: reason.to_owned() });
    }
    make_private_file(path).map_err(unusable)?;
    let pool = AnyPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(SQLITE_SETTINGS).execute(connection).await?;
                Ok(())
            })
        })
        .connect(&format!("sqlite://{}?mode=rw", escaped(path)))
        .await?;
    Ok(pool)
}

/// Error of the database for a failure of the file system.
pub(crate) fn unusable(error: io::Error) -> StoreError {
    let failure = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DatabaseError::Full,
        io::ErrorKind::ReadOnlyFilesystem => DatabaseError::ReadOnly,
        _ => DatabaseError::Unresponsive,
    };
    StoreError::unreachable(failure, error)
}

/// A path inside a URL: these characters would end it.
fn escaped(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}

/// Makes the file before SQLite does, so that it and its journals are never readable by others.
fn make_private_file(path: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

async fn open_postgres(url: &str) -> Result<AnyPool, StoreError> {
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        let reason = "it starts with neither sqlite:// nor postgres://".to_owned();
        return Err(StoreError::Address { reason });
    }
    let pool = AnyPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
        .after_connect(|connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(POSTGRES_SETTINGS).execute(connection).await?;
                Ok(())
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                let answer = tokio::time::timeout(RETURN_MAX, connection.ping()).await;
                answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
            })
        })
        .connect(url)
        .await?;
    sqlx::raw_sql(POSTGRES_COLLATION).execute(&pool).await?;
    Ok(pool)
}

/// Brings the tables up to date. Tables of a newer version are refused rather than guessed at.
async fn migrate(pool: &AnyPool) -> Result<(), StoreError> {
    let migrations = MIGRATIONS.iter().map(|(version, description, sql)| {
        let kind = MigrationType::Simple;
        Migration::new(*version, Cow::Borrowed(description), kind, SqlStr::from_static(sql), false)
    });
    Migrator::with_migrations(migrations.collect()).run(pool).await.map_err(|error| match error {
        // The schema is as it was before this step.
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)
            if DatabaseError::of(&error).is_some() =>
        {
            error.into()
        }
        other => StoreError::damaged("the schema", other),
    })
}
