//! Automatic certificates: the apps that want them, the state of each order, and the results.
//!
//! Every step of an order is recorded before the next is taken, so that it can be resumed.

use domain::AppName;
use domain::auto_certs::{OrderProgress, ServedCertificate, cert_name};
use domain::certs::{CertFacts, Pair};
use domain::challenges::Challenge;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::{Store, StoreError, apps, certs, rows};

/// A domain of an app, as far as its certificate goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoDomainRecord {
    pub domain: String,
    pub app: AppName,
    pub served: Option<ServedCertificate>,
    pub progress: OrderProgress,
}

/// An order that was begun: everything needed to resume it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct AutoOrder {
    /// The authority's URL of the order; `None` if none is under way.
    pub url: Option<String>,
    pub key_authorization: Option<String>,
    /// PEM.
    pub key: Option<String>,
    pub failures: u32,
}

/// A certificate that was issued for a domain.
pub struct IssuedCert {
    pub domain: String,
    pub facts: CertFacts,
    pub pair: Pair,
    pub renew_at: Timestamp,
    pub now: Timestamp,
}

const DOMAINS: &str = "SELECT domains.domain, domains.app, certs.name, certs.facts, certs.automatic, certs.renew_at, \
    auto_orders.order_url, auto_orders.failures, auto_orders.error, auto_orders.tried, auto_orders.next_try \
    FROM domains \
    LEFT JOIN cert_domains ON cert_domains.domain = domains.domain \
    LEFT JOIN certs ON certs.name = cert_domains.cert \
    LEFT JOIN auto_orders ON auto_orders.domain = domains.domain ";

impl Store {
    /// Returns true if the app wants automatic certificates.
    pub async fn wants_auto_certs(&self, app: &AppName) -> Result<bool, StoreError> {
        let found = sqlx::query("SELECT 1 FROM auto_certs WHERE app = $1").bind(app.as_str());
        Ok(found.fetch_optional(&self.pool).await?.is_some())
    }

    /// Turns automatic certificates of an app on or off; returns true if that changed anything.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for an app that does not exist or is being removed.
    pub async fn want_auto_certs(
        &self,
        app: &AppName,
        wanted: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        apps::must_be_there(app, &mut write).await?;
        let found = sqlx::query("SELECT 1 FROM auto_certs WHERE app = $1").bind(app.as_str());
        let is_new = rows::any(found, &mut write).await? != wanted;
        if is_new && wanted {
            sqlx::query("INSERT INTO auto_certs (app, created) VALUES ($1, $2)")
                .bind(app.as_str())
                .bind(rows::time_text(now))
                .execute(&mut *write)
                .await?;
        } else if is_new {
            sqlx::query("DELETE FROM auto_certs WHERE app = $1")
                .bind(app.as_str())
                .execute(&mut *write)
                .await?;
            let orders =
                "DELETE FROM auto_orders WHERE domain IN (SELECT domain FROM domains WHERE app = $1)";
            sqlx::query(orders).bind(app.as_str()).execute(&mut *write).await?;
        }
        write.commit().await?;
        Ok(is_new)
    }

    /// All domains of an app, by name.
    pub async fn auto_domains(&self, app: &AppName) -> Result<Vec<AutoDomainRecord>, StoreError> {
        let text = format!("{DOMAINS} WHERE domains.app = $1 ORDER BY domains.domain");
        let found = sqlx::query(sqlx::AssertSqlSafe(text)).bind(app.as_str()).fetch_all(&self.pool).await?;
        rows::each(&found, read)
    }

    /// Domains that may get a certificate now, those that wait longest first. `domain::auto_certs` decides.
    pub async fn due_auto_domains(
        &self,
        now: Timestamp,
        count_max: i64,
    ) -> Result<Vec<AutoDomainRecord>, StoreError> {
        let text = format!(
            "{DOMAINS} JOIN auto_certs ON auto_certs.app = domains.app JOIN apps ON apps.id = domains.app \
             WHERE apps.removing = 0 AND domains.domain LIKE '%.%' AND domains.domain NOT LIKE '*.%' \
             AND (certs.name IS NULL OR certs.renew_at <= $1) \
             AND (auto_orders.next_try IS NULL OR auto_orders.next_try <= $1) \
             ORDER BY COALESCE(auto_orders.next_try, domains.created), domains.domain LIMIT $2"
        );
        let found = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(rows::time_text(now))
            .bind(count_max)
            .fetch_all(&self.pool)
            .await?;
        rows::each(&found, read)
    }

    /// Responses of an app's domains to the certificate authority.
    pub async fn challenges(&self, app: &AppName) -> Result<Vec<Challenge>, StoreError> {
        let found = sqlx::query(
            "SELECT auto_orders.domain, auto_orders.key_authorization FROM auto_orders \
             JOIN domains ON domains.domain = auto_orders.domain \
             WHERE domains.app = $1 AND auto_orders.key_authorization IS NOT NULL ORDER BY auto_orders.domain",
        )
        .bind(app.as_str())
        .fetch_all(&self.pool)
        .await?;
        let challenges = rows::each(&found, |row| {
            let (domain, text): (String, String) =
                (row.try_get("domain")?, row.try_get("key_authorization")?);
            Ok(Challenge::parse(&domain, &text))
        })?;
        Ok(challenges.into_iter().flatten().collect())
    }

    /// The order of a domain at the authority with this directory URL. An order at another authority is ignored.
    pub async fn auto_order(&self, domain: &str, directory: &str) -> Result<AutoOrder, StoreError> {
        let found = sqlx::query("SELECT * FROM auto_orders WHERE domain = $1")
            .bind(domain)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = found else { return Ok(AutoOrder::default()) };
        let failures = failures(&row)?;
        if row.try_get::<String, _>("directory")? != directory {
            return Ok(AutoOrder { failures, ..AutoOrder::default() });
        }
        let sealed: Option<String> = row.try_get("sealed_key")?;
        let key = sealed.map(|sealed| self.open_text(&order_context(domain), &sealed)).transpose()?;
        let (url, key_authorization) = (row.try_get("order_url")?, row.try_get("key_authorization")?);
        Ok(AutoOrder { url, key_authorization, key, failures })
    }

    /// Records the progress of an order.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a domain that is gone, or whose app no longer wants certificates.
    pub async fn record_auto_order(
        &self,
        domain: &str,
        directory: &str,
        order: &AutoOrder,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let AutoOrder { url, key_authorization, key, failures } = order;
        let key = key.as_ref().map(|key| self.seal(&order_context(domain), key.as_bytes()));
        let mut write = self.write().await?;
        must_be_wanted(domain, &mut write).await?;
        sqlx::query(
            "INSERT INTO auto_orders (domain, directory, order_url, key_authorization, sealed_key, failures, tried) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (domain) DO UPDATE SET directory = $2, \
             order_url = $3, key_authorization = $4, sealed_key = $5, failures = $6, tried = $7, next_try = NULL",
        )
        .bind(domain)
        .bind(directory)
        .bind(url)
        .bind(key_authorization)
        .bind(key)
        .bind(i64::from(*failures))
        .bind(rows::time_text(now))
        .execute(&mut *write)
        .await?;
        write.commit().await
    }

    /// Records a failure and the time of the next try. If the order `is_lost`, a new one is needed.
    ///
    /// # Errors
    ///
    /// Those of [`Store::record_auto_order`].
    pub async fn record_auto_failure(
        &self,
        domain: &str,
        directory: &str,
        progress: &OrderProgress,
        is_lost: bool,
    ) -> Result<(), StoreError> {
        let OrderProgress { is_ordered: _, failures, error, tried, next_try } = progress;
        let mut write = self.write().await?;
        must_be_wanted(domain, &mut write).await?;
        let lost =
            if is_lost { ", order_url = NULL, key_authorization = NULL, sealed_key = NULL" } else { "" };
        let text = format!(
            "INSERT INTO auto_orders (domain, directory, failures, error, tried, next_try) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (domain) DO UPDATE SET directory = $2, failures = $3, \
             error = $4, tried = $5, next_try = $6{lost}"
        );
        sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(domain)
            .bind(directory)
            .bind(i64::from(*failures))
            .bind(error)
            .bind(tried.map(rows::time_text))
            .bind(next_try.map(rows::time_text))
            .execute(&mut *write)
            .await?;
        write.commit().await
    }

    /// Sets the time of the next try of a domain that waits for one.
    pub async fn reschedule_auto_domain(&self, domain: &str, next_try: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE auto_orders SET next_try = $1 WHERE domain = $2 AND next_try IS NOT NULL")
            .bind(rows::time_text(next_try))
            .bind(domain)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records an issued certificate in place of the previous one and removes the order; returns its name. A
    /// certificate that a user has attached meanwhile stays.
    ///
    /// # Errors
    ///
    /// Those of [`Store::record_auto_order`].
    pub async fn keep_issued_cert(&self, issued: IssuedCert) -> Result<String, StoreError> {
        let IssuedCert { domain, facts, pair, renew_at, now } = issued;
        let mut write = self.write().await?;
        let owner = must_be_wanted(&domain, &mut write).await?;
        let before = sqlx::query("SELECT name FROM certs WHERE automatic = $1").bind(&domain);
        let name = match before.fetch_optional(&mut *write).await? {
            Some(row) => row.try_get("name")?,
            None => self.place_for(&domain, &owner, now, &mut write).await?,
        };
        sqlx::query(
            "UPDATE certs SET owner = $1, certificate = $2, sealed_key = $3, facts = $4, renew_at = $5, \
             updated = $6 WHERE name = $7",
        )
        .bind(&owner)
        .bind(pair.certificate)
        .bind(self.seal(&certs::context(&name), pair.key.as_bytes()))
        .bind(rows::json_text(&facts))
        .bind(rows::time_text(renew_at))
        .bind(rows::time_text(now))
        .bind(&name)
        .execute(&mut *write)
        .await?;
        sqlx::query(
            "INSERT INTO cert_domains (domain, cert, created) VALUES ($1, $2, $3) ON CONFLICT (domain) DO NOTHING",
        )
        .bind(&domain)
        .bind(&name)
        .bind(rows::time_text(now))
        .execute(&mut *write)
        .await?;
        sqlx::query("DELETE FROM auto_orders WHERE domain = $1").bind(&domain).execute(&mut *write).await?;
        write.commit().await?;
        Ok(name)
    }

    /// An empty row with a name that is free.
    async fn place_for(
        &self,
        domain: &str,
        owner: &str,
        now: Timestamp,
        write: &mut AnyConnection,
    ) -> Result<String, StoreError> {
        let mut number = 1;
        let name = loop {
            let name = cert_name(domain, number);
            let taken = sqlx::query("SELECT 1 FROM certs WHERE name = $1").bind(&name);
            if !rows::any(taken, write).await? {
                break name;
            }
            number += 1;
        };
        sqlx::query(
            "INSERT INTO certs (id, name, owner, certificate, sealed_key, facts, created, updated, automatic) \
             SELECT COALESCE(MAX(id), 0) + 1, $1, $2, '', '', '', $3, $3, $4 FROM certs",
        )
        .bind(&name)
        .bind(owner)
        .bind(rows::time_text(now))
        .bind(domain)
        .execute(write)
        .await?;
        Ok(name)
    }

    /// The key of our account at an authority, PKCS #8 as base64; `new` is kept where there is none yet.
    pub async fn acme_account_key(
        &self,
        directory: &str,
        new: &str,
        now: Timestamp,
    ) -> Result<String, StoreError> {
        let context = account_context(directory);
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO acme_accounts (directory, sealed_key, created) VALUES ($1, $2, $3) \
             ON CONFLICT (directory) DO NOTHING",
        )
        .bind(directory)
        .bind(self.seal(&context, new.as_bytes()))
        .bind(rows::time_text(now))
        .execute(&mut *write)
        .await?;
        let row = sqlx::query("SELECT sealed_key FROM acme_accounts WHERE directory = $1")
            .bind(directory)
            .fetch_one(&mut *write)
            .await?;
        write.commit().await?;
        self.open_text(&context, row.try_get("sealed_key")?)
    }

    fn open_text(&self, context: &str, sealed: &str) -> Result<String, StoreError> {
        let plain = self.unseal(context, sealed)?;
        String::from_utf8(plain).map_err(|error| StoreError::damaged(context, error))
    }
}

/// The owner of the app whose domain it is.
async fn must_be_wanted(domain: &str, write: &mut AnyConnection) -> Result<String, StoreError> {
    let found = sqlx::query(
        "SELECT apps.owner FROM domains JOIN apps ON apps.id = domains.app \
         JOIN auto_certs ON auto_certs.app = domains.app WHERE domains.domain = $1",
    )
    .bind(domain)
    .fetch_optional(write)
    .await?;
    let row = found.ok_or_else(|| StoreError::not_found(format!("domain {domain}")))?;
    Ok(row.try_get("owner")?)
}

fn read(row: &AnyRow) -> Result<AutoDomainRecord, StoreError> {
    let order_url: Option<String> = row.try_get("order_url")?;
    let is_known = row.try_get::<Option<i64>, _>("failures")?.is_some();
    let progress = OrderProgress {
        is_ordered: order_url.is_some(),
        failures: if is_known { failures(row)? } else { 0 },
        error: row.try_get("error")?,
        tried: rows::time_or_none(row, "tried")?,
        next_try: rows::time_or_none(row, "next_try")?,
    };
    Ok(AutoDomainRecord {
        domain: row.try_get("domain")?,
        app: rows::app_name(row, "app")?,
        served: served(row)?,
        progress,
    })
}

fn served(row: &AnyRow) -> Result<Option<ServedCertificate>, StoreError> {
    let Some(name) = row.try_get::<Option<String>, _>("name")? else { return Ok(None) };
    let facts: String = row.try_get("facts")?;
    let facts: CertFacts = rows::from_json("a certificate", facts.as_bytes())?;
    Ok(Some(ServedCertificate {
        name,
        expires: facts.expires,
        renew_at: rows::time_or_none(row, "renew_at")?,
    }))
}

fn failures(row: &AnyRow) -> Result<u32, StoreError> {
    Ok(u32::try_from(rows::number(row, "failures")?).unwrap_or(u32::MAX))
}

pub(crate) fn order_context(domain: &str) -> String {
    format!("order for {domain}")
}

pub(crate) fn account_context(directory: &str) -> String {
    format!("account at {directory}")
}
