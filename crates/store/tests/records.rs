//! The records on a real database: SQLite, or PostgreSQL where `WORKFLOW_TEST_POSTGRES_URL` names one.

mod database;
mod records {
    pub mod apps;
    pub mod auto_certs;
    pub mod certs;
    pub mod collaborators;
    pub mod domains;
    pub mod keys;
    pub mod lead;
    pub mod opening;
    pub mod people;
    pub mod resealing;
    pub mod settings;
    pub mod tokens;
    pub mod users;
    pub mod wishes;
}

use database::TestDatabase;
use domain::sealing::SealingKey;
use domain::users::Joining;
use jiff::Timestamp;
use records::{certs, wishes};
use store::{NewUser, Store, User};

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

    async fn user(&self, name: &str) -> User {
        self.store.add_user(new_user(name), Joining::Anyhow).await.expect("a new user")
    }
}

async fn open(url: &str) -> Store {
    Store::open(url, SealingKey::new(&[7; 32])).await.expect("the store opens")
}

fn new_user(name: &str) -> NewUser {
    NewUser::named(name, "hash", Timestamp::now())
}
