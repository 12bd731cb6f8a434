//! Domains: host names that apps claim; the first claim has the name.

use domain::AppName;
use domain::domain_proofs::DomainProof;
use domain::domains::{DomainError, DomainName};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{PageRange, Rows, Store, StoreError, UserRecord, apps, rows};

/// A domain as recorded; `created` is the moment of its claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRecord {
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
    /// Claims a domain for an app that has fewer than `most`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] about `domain` for a taken one, `app` for another app's name, `overlap` for one
    /// that overlaps with a domain of another owner, `number` for one too many.
    /// [`StoreError::NotFound`] for an app that does not exist or is being removed.
    pub async fn add_domain(&self, new: NewDomain, most: u32) -> Result<DomainRecord, StoreError> {
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
        let count = sqlx::query("SELECT COUNT(*) FROM domains WHERE app = $1").bind(domain.app.as_str());
        if rows::count(&count.fetch_one(&mut *write).await?)? > u64::from(most) {
            return Err(StoreError::conflict("number"));
        }
        write.commit().await?;
        Ok(domain)
    }

    /// The TXT record that proves a domain for a user. It is derived from the keys, and recorded nowhere.
    ///
    /// # Errors
    ///
    /// [`DomainError::TooLongToProve`].
    pub fn domain_proof(&self, owner: &UserRecord, domain: &DomainName) -> Result<DomainProof, DomainError> {
        DomainProof::new(&self.sealing, domain, &owner.username, owner.date_joined)
    }

    /// Domains of an app, ordered by text.
    pub async fn domains(&self, app: &AppName, page: PageRange) -> Result<Rows<DomainRecord>, StoreError> {
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
        Ok(Rows { count: rows::count(&count)?, rows: rows::each(&found, read)? })
    }

    /// Finds a domain, whichever app has it.
    pub async fn domain(&self, domain: &str) -> Result<Option<DomainRecord>, StoreError> {
        let found = sqlx::query("SELECT * FROM domains WHERE domain = $1")
            .bind(domain)
            .fetch_optional(&self.pool)
            .await?;
        found.as_ref().map(read).transpose()
    }

    /// Takes a domain from this app; returns true if the app had it.
    pub async fn remove_domain(&self, app: &AppName, domain: &str) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM domains WHERE app = $1 AND domain = $2")
            .bind(app.as_str())
            .bind(domain)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected() > 0)
    }
}

pub(crate) async fn insert(
    new: NewDomain,
    connection: &mut AnyConnection,
) -> Result<DomainRecord, StoreError> {
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
    Ok(DomainRecord { domain, app, owner, created: now, updated: now })
}

/// Returns true if a wildcard of another owner covers the new domain, or the other way round, or the new domain
/// lies below one of theirs. Owners may overlap with themselves: a wildcard for one app, a name below it for
/// another.
async fn overlaps_with_others(
    new: &DomainRecord,
    connection: &mut AnyConnection,
) -> Result<bool, StoreError> {
    let Ok(name) = DomainName::parse(&new.domain) else { return Ok(false) };
    let below = format!("%.{}", new.domain.strip_prefix("*.").unwrap_or(&new.domain));
    let candidates = sqlx::query(
        "SELECT domains.domain FROM domains JOIN apps ON apps.id = domains.app \
         WHERE apps.owner <> (SELECT owner FROM apps WHERE id = $1) \
         AND (domains.domain LIKE '*.%' OR domains.domain LIKE $2 OR $3 LIKE '%.' || domains.domain)",
    )
    .bind(new.app.as_str())
    .bind(below)
    .bind(&new.domain)
    .fetch_all(connection)
    .await?;
    let candidates: Vec<String> = rows::each(&candidates, |row| Ok(row.try_get("domain")?))?;
    let clashes = |other: &DomainName| name.overlaps(other) || name.lies_below(other);
    Ok(candidates.iter().any(|other| DomainName::parse(other).is_ok_and(|other| clashes(&other))))
}

fn read(row: &AnyRow) -> Result<DomainRecord, StoreError> {
    Ok(DomainRecord {
        domain: row.try_get("domain")?,
        app: rows::app_name(row, "app")?,
        owner: row.try_get("owner")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
    })
}
