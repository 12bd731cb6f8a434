//! Resealing: texts sealed with an older key are sealed again with the newest.
//!
//! It works in batches, each in a transaction of its own, and stores no progress: resealed texts are recognized by
//! the id of their key. So it can be interrupted and restarted at any time, beside other readers and writers.

use domain::AppName;
use sqlx::Row as _;

use crate::{Store, StoreError, auto_certs, certs, configs, rows};

/// Rows in one transaction: enough to be quick, few enough that writers hardly wait.
const BATCH: i64 = 100;
/// Configs of older versions in one transaction: they may be of 2 MiB each.
const WHOLE_CONFIGS: i64 = 8;

/// A column of sealed texts.
struct SealedColumn {
    select: &'static str,
    update: &'static str,
    count: &'static str,
    batch: i64,
    /// Sealing context for the name in a row.
    context: fn(&str) -> Result<String, StoreError>,
}

const PLACES: [SealedColumn; 6] = [
    SealedColumn {
        select: "SELECT uuid AS id, app AS name, outline AS sealed FROM configs \
                 WHERE uuid > $1 AND outline NOT LIKE $2 ORDER BY uuid LIMIT $3",
        update: "UPDATE configs SET outline = $1 WHERE uuid = $2",
        count: "SELECT COUNT(*) FROM configs WHERE outline NOT LIKE $1",
        batch: BATCH,
        context: |app| Ok(configs::outline_context(&app_name(app)?)),
    },
    SealedColumn {
        select: "SELECT id, app || ' ' || name AS name, sealed FROM config_parts \
                 WHERE id > $1 AND sealed NOT LIKE $2 ORDER BY id LIMIT $3",
        update: "UPDATE config_parts SET sealed = $1 WHERE id = $2",
        count: "SELECT COUNT(*) FROM config_parts WHERE sealed NOT LIKE $1",
        batch: BATCH,
        context: |place| {
            let (app, name) = place.split_once(' ').unwrap_or((place, ""));
            Ok(configs::part_context(&app_name(app)?, name))
        },
    },
    SealedColumn {
        select: "SELECT uuid AS id, app AS name, sealed FROM configs \
                 WHERE outline IS NULL AND uuid > $1 AND sealed NOT LIKE $2 ORDER BY uuid LIMIT $3",
        update: "UPDATE configs SET sealed = $1 WHERE uuid = $2",
        count: "SELECT COUNT(*) FROM configs WHERE outline IS NULL AND sealed NOT LIKE $1",
        batch: WHOLE_CONFIGS,
        context: |app| Ok(configs::context(&app_name(app)?)),
    },
    SealedColumn {
        select: "SELECT name AS id, name, sealed_key AS sealed FROM certs \
                 WHERE name > $1 AND sealed_key NOT LIKE $2 ORDER BY name LIMIT $3",
        update: "UPDATE certs SET sealed_key = $1 WHERE name = $2",
        count: "SELECT COUNT(*) FROM certs WHERE sealed_key NOT LIKE $1",
        batch: BATCH,
        context: |name| Ok(certs::context(name)),
    },
    SealedColumn {
        select: "SELECT domain AS id, domain AS name, sealed_key AS sealed FROM auto_orders \
                 WHERE domain > $1 AND sealed_key NOT LIKE $2 ORDER BY domain LIMIT $3",
        update: "UPDATE auto_orders SET sealed_key = $1 WHERE domain = $2",
        count: "SELECT COUNT(*) FROM auto_orders WHERE sealed_key NOT LIKE $1",
        batch: BATCH,
        context: |domain| Ok(auto_certs::order_context(domain)),
    },
    SealedColumn {
        select: "SELECT directory AS id, directory AS name, sealed_key AS sealed FROM acme_accounts \
                 WHERE directory > $1 AND sealed_key NOT LIKE $2 ORDER BY directory LIMIT $3",
        update: "UPDATE acme_accounts SET sealed_key = $1 WHERE directory = $2",
        count: "SELECT COUNT(*) FROM acme_accounts WHERE sealed_key NOT LIKE $1",
        batch: BATCH,
        context: |directory| Ok(auto_certs::account_context(directory)),
    },
];

fn app_name(text: &str) -> Result<AppName, StoreError> {
    AppName::parse(text).map_err(|error| StoreError::damaged("an app", error))
}

/// A walk over all that is sealed.
pub struct ResealWalk {
    store: Store,
    place: usize,
    /// Id of the last row that was seen.
    after: String,
    /// Rows that were sealed anew.
    pub done: u64,
    /// Contexts of texts that no available key opens; they are left as they are.
    pub unopened: Vec<String>,
}

impl Store {
    /// Begins to seal anew what an older key has sealed.
    pub fn resealing(&self) -> ResealWalk {
        ResealWalk { store: self.clone(), place: 0, after: String::new(), done: 0, unopened: Vec::new() }
    }

    /// Number of texts that are sealed with another key than the newest.
    pub async fn sealed_with_older_keys(&self) -> Result<u64, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let mut left = 0;
        for place in &PLACES {
            let found = sqlx::query(place.count).bind(self.pattern()).fetch_one(&mut *connection).await?;
            left += rows::count(&found)?;
        }
        Ok(left)
    }

    /// Matches what the newest key has sealed.
    fn pattern(&self) -> String {
        format!("{}%", self.sealing.newest_prefix())
    }
}

impl ResealWalk {
    /// Seals one batch anew; says whether there may be more.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        let Some(place) = PLACES.get(self.place) else { return Ok(false) };
        let mut write = self.store.write().await?;
        let found = sqlx::query(place.select)
            .bind(&self.after)
            .bind(self.store.pattern())
            .bind(place.batch)
            .fetch_all(&mut *write)
            .await?;
        let mut unopened = Vec::new();
        for row in &found {
            let context = (place.context)(row.try_get("name")?)?;
            let resealed = self.store.sealing.reseal(&context, row.try_get("sealed")?, rand::random());
            let Ok(resealed) = resealed else {
                unopened.push(context);
                continue;
            };
            let id: &str = row.try_get("id")?;
            sqlx::query(place.update).bind(resealed).bind(id).execute(&mut *write).await?;
        }
        write.commit().await?;
        self.done += (found.len() - unopened.len()) as u64;
        self.unopened.extend(unopened);
        match found.last() {
            Some(row) => self.after = row.try_get("id")?,
            None => (self.place, self.after) = (self.place + 1, String::new()),
        }
        Ok(self.place < PLACES.len())
    }
}
