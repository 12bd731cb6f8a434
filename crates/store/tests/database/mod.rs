//! A database of its own for each test: SQLite in a temporary folder, or, where
//! `WORKFLOW_TEST_POSTGRES_URL` names a PostgreSQL server, a database made and dropped there.

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Names a PostgreSQL server on which databases may be created, such as `postgres://user@host:port/postgres`.
const POSTGRES_URL: &str = "WORKFLOW_TEST_POSTGRES_URL";

pub struct TestDatabase {
    pub url: String,
    _keep: Keep,
}

/// Resources that are removed with the test.
enum Keep {
    Folder { _folder: tempfile::TempDir },
    Database { _database: PostgresDatabase },
}

struct PostgresDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    pub async fn new() -> Self {
        match std::env::var(POSTGRES_URL) {
            Ok(server) if !server.is_empty() => Self::on_postgres(server).await,
            _ => Self::on_sqlite(),
        }
    }

    fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/workflow.db", folder.path().display());
        Self { url, _keep: Keep::Folder { _folder: folder } }
    }

    async fn on_postgres(server: String) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("workflow_test_{}_{number}", std::process::id());
        on_server(&server, format!("DROP DATABASE IF EXISTS {name}")).await;
        // A default order of texts that is not that of bytes shows queries that rely on it.
        let order = "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US'";
        on_server(&server, format!("CREATE DATABASE {name} TEMPLATE template0 {order}")).await;
        let (address, query) = server.split_once('?').unwrap_or((&server, ""));
        let (address, _) = address.rsplit_once('/').expect("the server's URL ends with /<database>");
        let url = format!("{address}/{name}?{query}");
        Self { url, _keep: Keep::Database { _database: PostgresDatabase { server, name } } }
    }
}

async fn on_server(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.expect("the test's PostgreSQL server answers");
    connection.execute(AssertSqlSafe(statement)).await.expect("the test may make databases");
    connection.close().await.expect("the connection closes");
}

/// Dropping is not async and may happen inside a runtime, so it takes a thread of its own.
impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(on_server(&server, statement));
        });
        if dropping.join().is_err() {
            eprintln!("test database {} could not be dropped", self.name);
        }
    }
}
