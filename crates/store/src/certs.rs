//! Certificates of users and the domains that they are attached to. Private keys are sealed at rest.

use std::sync::Arc;

use domain::AppName;
use domain::certs::{AttachedCert, CertFacts, Pair};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{PageRange, Rows, Store, StoreError, rows};

/// A certificate as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertRecord {
    pub id: u64,
    pub name: String,
    pub owner: String,
    pub facts: CertFacts,
    /// Names of the domains that it is attached to.
    pub domains: Vec<String>,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// The platform got it by itself.
    pub is_automatic: bool,
}

/// A certificate to be added.
pub struct NewCert {
    pub name: String,
    pub owner: String,
    pub facts: CertFacts,
    pub pair: Pair,
    pub now: Timestamp,
}

impl Store {
    /// Adds a certificate.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] about `name` for a taken name.
    pub async fn add_cert(&self, new: NewCert) -> Result<CertRecord, StoreError> {
        let NewCert { name, owner, facts, pair, now } = new;
        let mut write = self.write().await?;
        let taken = sqlx::query("SELECT 1 FROM certs WHERE name = $1").bind(&name);
        if rows::any(taken, &mut write).await? {
            return Err(StoreError::conflict("name"));
        }
        let id = sqlx::query("SELECT COALESCE(MAX(id), 0) + 1 FROM certs").fetch_one(&mut *write).await?;
        let id = rows::count(&id)?;
        sqlx::query(
            "INSERT INTO certs (id, name, owner, certificate, sealed_key, facts, created, updated) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        )
        .bind(rows::stored(id))
        .bind(&name)
        .bind(&owner)
        .bind(pair.certificate)
        .bind(self.seal(&context(&name), pair.key.as_bytes()))
        .bind(rows::json_text(&facts))
        .bind(rows::time_text(now))
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        let now = rows::kept(now);
        Ok(CertRecord {
            id,
            name,
            owner,
            facts,
            domains: Vec::new(),
            created: now,
            updated: now,
            is_automatic: false,
        })
    }

    /// Certificates of a user, by name.
    pub async fn certs(&self, owner: &str, page: PageRange) -> Result<Rows<CertRecord>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let count = sqlx::query("SELECT COUNT(*) FROM certs WHERE owner = $1")
            .bind(owner)
            .fetch_one(&mut *connection)
            .await?;
        let found = sqlx::query("SELECT * FROM certs WHERE owner = $1 ORDER BY name LIMIT $2 OFFSET $3")
            .bind(owner)
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(&mut *connection)
            .await?;
        let mut certs = Vec::with_capacity(found.len());
        for row in &found {
            certs.push(read(row, &mut connection).await?);
        }
        Ok(Rows { count: rows::count(&count)?, rows: certs })
    }

    /// Finds a certificate of a user.
    pub async fn cert(&self, owner: &str, name: &str) -> Result<Option<CertRecord>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let found = sqlx::query("SELECT * FROM certs WHERE owner = $1 AND name = $2")
            .bind(owner)
            .bind(name)
            .fetch_optional(&mut *connection)
            .await?;
        match found {
            Some(row) => Ok(Some(read(&row, &mut connection).await?)),
            None => Ok(None),
        }
    }

    /// Removes a certificate of a user, also from the domains that it is attached to; returns true if there was
    /// one.
    pub async fn remove_cert(&self, owner: &str, name: &str) -> Result<bool, StoreError> {
        let removed = sqlx::query("DELETE FROM certs WHERE owner = $1 AND name = $2")
            .bind(owner)
            .bind(name)
            .execute(&self.pool)
            .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Attaches a certificate to a domain, in place of one that the platform ordered itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] about `domain` for a domain with another certificate; [`StoreError::NotFound`]
    /// about `cert` or `domain` where that is gone.
    pub async fn attach_cert(&self, name: &str, domain: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        for (what, query) in [
            ("cert", sqlx::query("SELECT 1 FROM certs WHERE name = $1").bind(name)),
            ("domain", sqlx::query("SELECT 1 FROM domains WHERE domain = $1").bind(domain)),
        ] {
            if !rows::any(query, &mut write).await? {
                return Err(StoreError::not_found(what));
            }
        }
        // With the certificate goes its row in `cert_domains`.
        sqlx::query(
            "DELETE FROM certs WHERE automatic = $1 AND name <> $2 \
             AND name IN (SELECT cert FROM cert_domains WHERE domain = $1)",
        )
        .bind(domain)
        .bind(name)
        .execute(&mut *write)
        .await?;
        let taken = sqlx::query("SELECT 1 FROM cert_domains WHERE domain = $1").bind(domain);
        if rows::any(taken, &mut write).await? {
            return Err(StoreError::conflict("domain"));
        }
        sqlx::query("INSERT INTO cert_domains (domain, cert, created) VALUES ($1, $2, $3)")
            .bind(domain)
            .bind(name)
            .bind(rows::time_text(now))
            .execute(&mut *write)
            .await?;
        touch(name, now, &mut write).await?;
        write.commit().await
    }

    /// Takes a certificate from a domain; returns true if it was attached there.
    pub async fn detach_cert(&self, name: &str, domain: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let removed = sqlx::query("DELETE FROM cert_domains WHERE domain = $1 AND cert = $2")
            .bind(domain)
            .bind(name)
            .execute(&mut *write)
            .await?;
        touch(name, now, &mut write).await?;
        write.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    /// The certificates that domains of an app are served with, by name.
    pub async fn attached_certs(&self, app: &AppName) -> Result<Vec<AttachedCert>, StoreError> {
        let found = sqlx::query(
            "SELECT certs.name, certs.certificate, certs.sealed_key, cert_domains.domain FROM certs \
             JOIN cert_domains ON cert_domains.cert = certs.name \
             JOIN domains ON domains.domain = cert_domains.domain \
             WHERE domains.app = $1 ORDER BY certs.name, cert_domains.domain",
        )
        .bind(app.as_str())
        .fetch_all(&self.pool)
        .await?;
        let mut attached: Vec<AttachedCert> = Vec::new();
        for row in &found {
            let (name, domain): (String, String) = (row.try_get("name")?, row.try_get("domain")?);
            match attached.last_mut().filter(|cert| cert.name == name) {
                Some(cert) => cert.domains.push(domain),
                None => {
                    let pair = Arc::new(self.pair(&name, row)?);
                    attached.push(AttachedCert { name, domains: vec![domain], pair });
                }
            }
        }
        Ok(attached)
    }

    fn pair(&self, name: &str, row: &AnyRow) -> Result<Pair, StoreError> {
        let context = context(name);
        let key = self.unseal(&context, row.try_get("sealed_key")?)?;
        let key = String::from_utf8(key).map_err(|error| StoreError::damaged(context, error))?;
        Ok(Pair { certificate: row.try_get("certificate")?, key })
    }
}

async fn touch(name: &str, now: Timestamp, connection: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query("UPDATE certs SET updated = $1 WHERE name = $2")
        .bind(rows::time_text(now))
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

async fn read(row: &AnyRow, connection: &mut AnyConnection) -> Result<CertRecord, StoreError> {
    let name: String = row.try_get("name")?;
    let facts: String = row.try_get("facts")?;
    let domains = sqlx::query("SELECT domain FROM cert_domains WHERE cert = $1 ORDER BY domain")
        .bind(&name)
        .fetch_all(connection)
        .await?;
    Ok(CertRecord {
        id: rows::number(row, "id")?,
        facts: rows::from_json("a certificate", facts.as_bytes())?,
        domains: rows::each(&domains, |row| Ok(row.try_get("domain")?))?,
        owner: row.try_get("owner")?,
        created: rows::time(row, "created")?,
        updated: rows::time(row, "updated")?,
        is_automatic: row.try_get::<Option<String>, _>("automatic")?.is_some(),
        name,
    })
}

pub(crate) fn context(name: &str) -> String {
    format!("certificate {name}")
}
