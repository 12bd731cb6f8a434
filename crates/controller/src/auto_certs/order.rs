//! The order of one domain, from its record to the certificate.
//!
//! The authority knows the state of an order and the store has everything needed to continue it, so each round
//! reads both and takes one step.

use std::time::Duration;

use domain::auto_certs::{ChallengeKind, OrderProgress, challenge_kind, next_try, renew_at};
use domain::certs::Pair;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use store::{AutoDomainRecord, AutoOrder, IssuedCert};

use super::authority::Authority;
use super::order_error::{OrderError, describe};
use crate::Controller;
use crate::certificates::{Certificate, PrivateKey};

/// Longest work on one order at a time; it is gone on with later.
const WORK_MAX: Duration = Duration::from_secs(10 * 60);
/// Rounds of one run; four are enough without failures.
const ROUNDS_MAX: usize = 20;
/// Polling of the authority.
const POLL: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// Continues the order until the domain has its certificate or the run fails, and records and logs the result.
pub(super) async fn work(controller: &Controller, authority: &Authority, domain: &AutoDomainRecord) {
    let went = tokio::time::timeout(WORK_MAX, get(controller, authority, domain)).await;
    let went = went.unwrap_or_else(|_| Err(OrderError::authority("it takes too long; the order goes on")));
    let AutoDomainRecord { domain: host, app, .. } = domain;
    match went {
        Ok(StoredCertificate { name, expires }) => {
            controller.say(app, format!("certificate {name} for {host} issued, good until {expires:.0}"));
        }
        Err(OrderError::Unwanted) => {}
        Err(error) => {
            if matches!(error, OrderError::Account(_)) {
                authority.forget_account().await;
            }
            record_failure(controller, authority, domain, &error).await;
        }
    }
    // The challenge is over, or the certificate exists. If the routers cannot be updated now, the deployer does it
    // later.
    if let Err(error) = controller.refresh_routing(app).await {
        tracing::debug!(%app, error = &error as &dyn std::error::Error, "routers are told later");
    }
}

async fn record_failure(
    controller: &Controller,
    authority: &Authority,
    domain: &AutoDomainRecord,
    error: &OrderError,
) {
    let AutoDomainRecord { domain: host, app, .. } = domain;
    let (now, failures) = (Timestamp::now(), domain.progress.failures.saturating_add(1));
    let (reason, next_try) = (error.reason(), next_try(error.fault(), failures, now));
    let told = format!("no certificate for {host} yet: {reason}; next try at {next_try:.0}");
    let progress = OrderProgress {
        is_ordered: false,
        failures,
        error: Some(reason),
        tried: Some(now),
        next_try: Some(next_try),
    };
    let directory = &authority.settings.directory;
    match controller.store.record_auto_failure(host, directory, &progress, error.is_lost()).await {
        Ok(()) => controller.say(app, told),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%app, host, error, "cannot record that a certificate failed");
        }
    }
}

/// A certificate that is kept now.
struct StoredCertificate {
    name: String,
    expires: Timestamp,
}

async fn get(
    controller: &Controller,
    authority: &Authority,
    domain: &AutoDomainRecord,
) -> Result<StoredCertificate, OrderError> {
    if !controller.is_reached(&domain.app).await? {
        let reason = "nothing answers for the app yet: deploy it, or see `deis routing`";
        return Err(OrderError::Ours(reason.to_owned()));
    }
    let account = authority.account(&controller.store).await?;
    let order = controller.store.auto_order(&domain.domain, &authority.settings.directory).await?;
    let mut work = OrderRun { controller, authority, domain, account, order };
    for _ in 0..ROUNDS_MAX {
        match work.round().await {
            Ok(Some(chain)) => return work.keep(&chain).await,
            Ok(None) | Err(OrderError::Nonce) => {}
            Err(error) => return Err(error),
        }
    }
    Err(OrderError::Authority {
        reason: "the order does not come to an end".to_owned(),
        retry_after: None,
        is_lost: true,
    })
}

struct OrderRun<'a> {
    controller: &'a Controller,
    authority: &'a Authority,
    domain: &'a AutoDomainRecord,
    account: Account,
    /// As it is recorded.
    order: AutoOrder,
}

impl OrderRun<'_> {
    /// Takes one step; gives the chain once there is one.
    async fn round(&mut self) -> Result<Option<String>, OrderError> {
        let mut order = self.open().await?;
        match order.state().status {
            OrderStatus::Pending => self.prove(&mut order).await.map(|()| None),
            OrderStatus::Ready => self.finalize(&mut order).await.map(|()| None),
            OrderStatus::Processing => match order.poll_certificate(&POLL).await {
                Ok(chain) => Ok(Some(chain)),
                // It has ended otherwise, which the next round sees.
                Err(instant_acme::Error::Str(_)) => Ok(None),
                Err(error) => Err(error.into()),
            },
            OrderStatus::Valid => Ok(order.certificate().await?),
            OrderStatus::Invalid => Err(OrderError::Refused(why(&mut order).await?)),
        }
    }

    /// The order as the authority has it, which is made where there is none.
    async fn open(&mut self) -> Result<Order, OrderError> {
        if let Some(url) = &self.order.url {
            return match self.account.order(url.clone()).await.map_err(OrderError::from) {
                // Orders do not last for ever.
                Err(OrderError::Refused(reason)) => {
                    Err(OrderError::Authority { reason, retry_after: None, is_lost: true })
                }
                found => found,
            };
        }
        let names = [Identifier::Dns(self.domain.domain.clone())];
        let order = self.account.new_order(&NewOrder::new(&names)).await?;
        self.order = AutoOrder {
            url: Some(order.url().to_owned()),
            failures: self.order.failures,
            ..AutoOrder::default()
        };
        self.record().await?;
        Ok(order)
    }

    /// Shows the authority whose the domain is.
    async fn prove(&mut self, order: &mut Order) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let offered = |kind: &&ChallengeKind| {
                authorization.challenges.iter().any(|challenge| challenge.r#type == acme_type(**kind))
            };
            let usable: Vec<_> = self.authority.settings.challenges.iter().filter(offered).copied().collect();
            let kind = challenge_kind(&usable, self.order.failures);
            let Some(mut challenge) = kind.and_then(|kind| authorization.challenge(acme_type(kind))) else {
                return Err(OrderError::Refused(
                    "it offers no challenge that can be answered here".to_owned(),
                ));
            };
            self.show(challenge.key_authorization().as_str()).await?;
            if challenge.status == ChallengeStatus::Pending {
                match challenge.set_ready().await.map_err(OrderError::from) {
                    // The authority has validated already; the result is in the order.
                    Ok(()) | Err(OrderError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        match order.poll_ready(&POLL).await {
            Ok(_) => Ok(()),
            Err(_) if order.state().status == OrderStatus::Invalid => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets all routers answer the challenge.
    async fn show(&mut self, key_authorization: &str) -> Result<(), OrderError> {
        if self.order.key_authorization.as_deref() != Some(key_authorization) {
            self.order.key_authorization = Some(key_authorization.to_owned());
            self.record().await?;
        }
        self.controller.refresh_routing(&self.domain.app).await?;
        tokio::time::sleep(self.authority.settings.settle).await;
        Ok(())
    }

    /// Asks for the certificate, with a key that is kept before.
    async fn finalize(&mut self, order: &mut Order) -> Result<(), OrderError> {
        let failed = |error: rcgen::Error| OrderError::Ours(format!("cannot make a request: {error}"));
        let key = match &self.order.key {
            Some(key) => KeyPair::from_pem(key).map_err(failed)?,
            None => {
                let key = KeyPair::generate().map_err(failed)?;
                self.order.key = Some(key.serialize_pem());
                self.record().await?;
                key
            }
        };
        let mut params = CertificateParams::new([self.domain.domain.clone()]).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(failed)?;
        Ok(order.finalize_csr(request.der()).await?)
    }

    async fn record(&self) -> Result<(), OrderError> {
        let (domain, directory) = (&self.domain.domain, &self.authority.settings.directory);
        Ok(self.controller.store.record_auto_order(domain, directory, &self.order, Timestamp::now()).await?)
    }

    async fn keep(&self, chain: &str) -> Result<StoredCertificate, OrderError> {
        let lost = |reason: String| OrderError::Authority { reason, retry_after: None, is_lost: true };
        let certificate = Certificate::parse(chain).map_err(|error| lost(error.to_string()))?;
        let key =
            self.order.key.clone().ok_or_else(|| lost("the order was another platform's".to_owned()))?;
        let parsed = PrivateKey::parse(&key).map_err(|error| lost(error.to_string()))?;
        if !certificate.belongs_to(&parsed) {
            return Err(lost("it issued a certificate for another key".to_owned()));
        }
        let Certificate { pem, facts, .. } = certificate;
        let expires = facts.expires;
        let issued = IssuedCert {
            domain: self.domain.domain.clone(),
            renew_at: renew_at(facts.starts, expires),
            facts,
            pair: Pair { certificate: pem, key },
            now: Timestamp::now(),
        };
        let name = self.controller.store.keep_issued_cert(issued).await?;
        Ok(StoredCertificate { name, expires })
    }
}

/// Problem that an authority reports for an order.
async fn why(order: &mut Order) -> Result<String, OrderError> {
    let of_order = order.state().error.as_ref().map(describe);
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization?;
        let failed = authorization.challenges.iter().filter_map(|it| Some((it, it.error.as_ref()?)));
        reasons.extend(
            failed.map(|(challenge, error)| format!("{}: {}", kind_name(&challenge.r#type), describe(error))),
        );
    }
    reasons.extend(of_order.filter(|_| reasons.is_empty()));
    Ok(if reasons.is_empty() { "the order was refused".to_owned() } else { reasons.join("; ") })
}

fn kind_name(kind: &ChallengeType) -> String {
    [ChallengeKind::Http01, ChallengeKind::TlsAlpn01]
        .into_iter()
        .find(|ours| acme_type(*ours) == *kind)
        .map_or_else(|| "another challenge".to_owned(), |ours| ours.to_string())
}

fn acme_type(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}
