//! The records on a real database: SQLite, or PostgreSQL where `WORKFLOW_TEST_POSTGRES_URL` names one.

mod database;
mod disk;
mod postgres;
mod records {
    pub mod apps;
    pub mod auto_certs;
    pub mod certs;
    pub mod changes;
    pub mod collaborators;
    pub mod configs;
    pub mod database_errors;
    pub mod domains;
    pub mod keys;
    pub mod lead;
    pub mod opening;
    pub mod outcome;
    pub mod people;
    pub mod resealing;
    pub mod settings;
    pub mod tokens;
    pub mod users;
}

use database::TestDatabase;
use domain::sealing::SealingKey;
use domain::users::AddCondition;
use jiff::Timestamp;
use records::{certs, changes, database_errors};
use store::{NewUser, Store, UserRecord};

struct World {
    store: Store,
    database: TestDatabase,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let store = open(&database.url).await;
        Self { store, database }
    }

    async fn user(&self, name: &str) -> UserRecord {
        self.store.add_user(new_user(name), AddCondition::Anyhow).await.expect("a new user")
    }
}

async fn open(url: &str) -> Store {
    Store::open(url, SealingKey::new(&[7; 32])).await.expect("the store opens")
}

fn new_user(name: &str) -> NewUser {
    NewUser::named(name, "hash", Timestamp::now())
}
