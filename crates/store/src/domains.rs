//! Domains: host names that apps claim; the first claim has the name.

use domain::AppName;
use domain::domains::DomainName;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{Listed, Page, Store, StoreError, apps, rows};

/// A domain as recorded; `created` is the moment of its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub domain: String,
    pub app: AppName,
    pub owner: String,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A domain to be claimed, in the form that is kept (`domain::domains`).
#[derive(Debug, Clone)]
pub struct NewDomain {
    pub domain: String,
    pub app: AppName,
    pub owner: String,
    pub now: Timestamp,
}

impl Store {
    /// Claims a domain. A taken one is a [`StoreError::Conflict`] about `domain`, one that is another
    /// app's name is one about `app`, one that overlaps with a domain of somebody else is one about
    /// `overlap`.
    pub async fn add_domain(&self, new: NewDomain) -> Result<Domain, StoreError> {
        let mut write = self.write().await?;
        apps::must_be_there(&new.app, &mut write).await?;
        let names_app = sqlx::query("SELECT 1 FROM apps WHERE id = $1 AND id <> $2")
            .bind(&new.domain)
            .bind(new.app.as_str());
        if rows::any(names_app, &mut write).await? {
            return Err(StoreError::conflict("app"));
        }
        let domain = insert(new, &mut write).await?;
        if overlaps_with_others(&domain, &mut write).await? {
            return Err(StoreError::conflict("overlap"));
        }
        write.commit().await?;
        Ok(domain)
    }

    /// Domains of an app, ordered by text.
    pub async fn domains(&self, app: &AppName, page: Page) -> Result<Listed<Domain>, StoreError> {
        let count = sqlx::query("SELECT COUNT(*) FROM domains WHERE app = $1")
            .bind(app.as_str())
            .fetch_one(&self.pool)
            .await?;
        let found = sqlx::query("SELECT * FROM domains WHERE app = $1 ORDER BY domain LIMIT $2 OFFSET $3")
            .bind(app.as_str())
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(&self.pool)
            .await?;
        Ok(Listed { count: rows::count(&count)?, rows: rows::each(&found, read)? })
    }

    /// Finds a domain, whichever app has it.
    pub async fn domain(&self, domain: &str) -> Result<Option<Domain>, StoreError> {
        let found = sqlx::query("SELECT * FROM domains WHERE domain = $1")
            .bind(domain)
            .fetch_optional(&self.pool)
            .await?;
        found.as_ref().map(read).transpose()
    }

    /// Takes a domain from this app; says whether it had it.
    pub async fn remove_domain(&self, app: &AppName, domain: &str) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM domains WHERE app = $1 AND domain = $2")
            .bind(app.as_str())
            .bind(domain)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected() > 0)
    }
}

pub(crate) async fn insert(new: NewDomain, connection: &mut AnyConnection) -> Result<Domain, StoreError> {
    let NewDomain { domain, app, owner, now } = new;
    let taken = sqlx::query("SELECT 1 FROM domains WHERE domain = $1").bind(&domain);
    if rows::any(taken, connection).await? {
        return Err(StoreError::conflict("domain"));
    }
    sqlx::query("INSERT INTO domains (domain, app, owner, created, updated) VALUES ($1, $2, $3, $4, $4)")
        .bind(&domain)
        .bind(app.as_str())
        .bind(&owner)
        .bind(rows::time_text(now))
        .execute(connection)
        .await?;
    let now = rows::kept(now);
    Ok(Domain { domain, app, owner, created: now, updated: now })
}

/// Whether a wildcard of another app's owner covers the new domain, or the other way round. Owners may
/// overlap with themselves: a wildcard for one app, a name below it for another.
async fn overlaps_with_others(new: &Domain, connection: &mut AnyConnection) -> Result<bool, StoreError> {
    let Ok(name) = DomainName::parse(&new.domain) else { return Ok(false) };
    let below = format!("%.{}", new.domain.strip_prefix("*.").unwrap_or(&new.domain));
    let candidates = sqlx::query(
        "SELECT domains.domain FROM domains JOIN apps ON apps.id = domains.app \
         WHERE apps.owner <> (SELECT owner FROM apps WHERE id = $1) \
         AND (domains.domain LIKE '*.%' OR domains.domain LIKE $2)",
    )
    .bind(new.app.as_str())
    .bind(below)
    .fetch_all(connection)
    .await?;
    let candidates: Vec<String> = rows::each(&candidates, |row| Ok(row.try_get("domain")?))?;
    Ok(candidates.iter().any(|other| DomainName::parse(other).is_ok_and(|other| name.overlaps(&other))))
}

fn read(row: &AnyRow) -> Result<Domain, StoreError> {
    Ok(Domain {
        domain: row.try_get("domain")?,
        app: rows::app_name(row, "app")?,
        owner: row.try_get("owner")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
    })
}
