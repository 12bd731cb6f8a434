//! Certificates of the caller and the domains that they are attached to (docs/spec/api.md 4.15). Nobody sees those of
//! others, administrators neither.

use std::collections::BTreeSet;

use api::certs::{CERT_DOMAIN_PATH, CERT_DOMAINS_PATH, CERT_PATH, CERTS_PATH};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::AppName;
use domain::access::Action::{Delete, Read, Write};
use domain::access::{Permission, Resource, needs};
use domain::certs::{CERT_NAME_LENGTH_MAX, CertFacts, Pair, check_name};
use domain::domains::DomainName;
use jiff::Timestamp;
use store::{CertRecord, DomainRecord, NewCert, StoreError};

use super::access::{Caller, app_access};
use super::body::{Fields, RawBody};
use super::error::ApiError;
use super::operation::{Operation, delete, get, post};
use super::outcome;
use super::paging::{Paging, wire_time};
use crate::Controller;
use crate::certificates::{Certificate, PrivateKey};

/// Longest text of a certificate with its chain, or of a key, in characters.
const PEM_CHARS_MAX: usize = 256 * 1024;
/// Longest text that is looked up as a domain.
const DOMAIN_CHARS_MAX: usize = 10_000;
const NAME_TAKEN: &str = "certificate with this name already exists.";
const NO_MATCH: &str = "Certificate and private key do not match!";
const ATTACHED_ALREADY: &str = "Domain already has a certificate attached to it";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(CERTS_PATH, needs(Read, Resource::Certificates), "Lists certificates", list)
            .page::<api::certs::Cert>(),
        post(
            CERTS_PATH,
            needs(Write, Resource::Certificates),
            "Adds a certificate with its key, both PEM",
            add,
        )
        .takes::<api::certs::NewCert>()
        .gives::<api::certs::Cert>(201)
        .found_by("name"),
        get(CERT_PATH, needs(Read, Resource::Certificates), "Shows a certificate", info)
            .gives::<api::certs::Cert>(200),
        delete(CERT_PATH, needs(Delete, Resource::Certificates), "Removes a certificate", remove),
        // The certificate must be the caller's, the domain that of an app that they may use.
        post(
            CERT_DOMAINS_PATH,
            needs(Write, Resource::Certificates),
            "Attaches a certificate to a domain",
            attach_named,
        )
        .takes::<api::domains::NewDomain>()
        .empty(201),
        post(
            CERT_DOMAIN_PATH,
            needs(Write, Resource::Certificates),
            "Attaches a certificate to a domain",
            attach,
        )
        .empty(201),
        delete(
            CERT_DOMAIN_PATH,
            needs(Delete, Resource::Certificates),
            "Detaches a certificate from a domain",
            detach,
        ),
    ]
}

/// `GET /v2/certs/`, by name.
async fn list(
    State(controller): State<Controller>,
    caller: Caller,
    paging: Paging,
) -> Result<Json<api::Page<api::certs::Cert>>, ApiError> {
    let certs = controller.store.certs(caller.name(), paging.page).await?;
    Ok(paging.answer(certs, show))
}

/// `POST /v2/certs/`.
async fn add(
    State(controller): State<Controller>,
    caller: Caller,
    body: RawBody,
) -> Result<(StatusCode, Json<api::certs::Cert>), ApiError> {
    let new = new_cert(caller.name(), body.fields()?)?;
    match controller.store.add_cert(new).await {
        Ok(cert) => Ok((StatusCode::CREATED, Json(show(cert)))),
        Err(StoreError::Conflict { .. }) => Err(ApiError::field("name", NAME_TAKEN)),
        Err(error) => Err(error.into()),
    }
}

/// `GET /v2/certs/{name}`.
async fn info(
    State(controller): State<Controller>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<api::certs::Cert>, ApiError> {
    Ok(Json(show(own(&controller, &caller, &name).await?)))
}

/// `DELETE /v2/certs/{name}`, also from the domains that it is attached to.
async fn remove(
    State(controller): State<Controller>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    let cert = own(&controller, &caller, &name).await?;
    let apps = apps_of(&controller, &cert.domains).await?;
    if !controller.store.remove_cert(caller.name(), &name).await? {
        return Err(ApiError::missing("Certificate"));
    }
    for app in apps {
        outcome::of_routing(&controller, &app).await?;
    }
    controller.certs_wanted.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

/// The apps whose domains these are.
async fn apps_of(controller: &Controller, domains: &[String]) -> Result<BTreeSet<AppName>, ApiError> {
    let mut apps = BTreeSet::new();
    for domain in domains {
        apps.extend(controller.store.domain(domain).await?.map(|domain| domain.app));
    }
    Ok(apps)
}

/// `POST /v2/certs/{name}/domain/` with the domain in the body.
async fn attach_named(
    State(controller): State<Controller>,
    caller: Caller,
    Path(name): Path<String>,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let cert = own(&controller, &caller, &name).await?;
    let mut fields = body.fields()?;
    if !fields.has("domain") {
        return Err(ApiError::bad_request("domain is a required field"));
    }
    let domain = fields.text("domain", DOMAIN_CHARS_MAX);
    fields.finish()?;
    attach_to(&controller, &caller, &cert, &domain).await
}

/// `POST /v2/certs/{name}/domain/{domain}`.
async fn attach(
    State(controller): State<Controller>,
    caller: Caller,
    Path((name, domain)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let cert = own(&controller, &caller, &name).await?;
    attach_to(&controller, &caller, &cert, &domain).await
}

/// `DELETE /v2/certs/{name}/domain/{domain}`.
async fn detach(
    State(controller): State<Controller>,
    caller: Caller,
    Path((name, domain)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let cert = own(&controller, &caller, &name).await?;
    let domain = usable_domain(&controller, &caller, &domain).await?;
    if !controller.store.detach_cert(&cert.name, &domain.domain, Timestamp::now()).await? {
        return Err(ApiError::missing("Domain"));
    }
    outcome::of_routing(&controller, &domain.app).await?;
    controller.certs_wanted.notify_one();
    Ok(StatusCode::NO_CONTENT)
}

async fn own(controller: &Controller, caller: &Caller, name: &str) -> Result<CertRecord, ApiError> {
    let cert = controller.store.cert(caller.name(), name).await?;
    cert.ok_or_else(|| ApiError::missing("Certificate"))
}

async fn attach_to(
    controller: &Controller,
    caller: &Caller,
    cert: &CertRecord,
    domain: &str,
) -> Result<StatusCode, ApiError> {
    let domain = usable_domain(controller, caller, domain).await?;
    match controller.store.attach_cert(&cert.name, &domain.domain, Timestamp::now()).await {
        Ok(()) => {}
        Err(StoreError::Conflict { .. }) => return Err(ApiError::conflict(ATTACHED_ALREADY)),
        // One of them went away since we looked.
        Err(StoreError::NotFound { what }) if what == "domain" => return Err(ApiError::missing("Domain")),
        Err(StoreError::NotFound { .. }) => return Err(ApiError::missing("Certificate")),
        Err(error) => return Err(error.into()),
    }
    outcome::of_routing(controller, &domain.app).await?;
    Ok(StatusCode::CREATED)
}

/// A domain, in any spelling, that the caller may change.
async fn usable_domain(
    controller: &Controller,
    caller: &Caller,
    domain: &str,
) -> Result<DomainRecord, ApiError> {
    let missing = || ApiError::missing("Domain");
    let name = DomainName::parse(domain).map_err(|_| missing())?;
    let domain = controller.store.domain(name.as_str()).await?.ok_or_else(missing)?;
    app_access(controller, caller, domain.app.as_str(), Permission::new(Write, Resource::Domains)).await?;
    Ok(domain)
}

/// Reads a certificate and its key; the response lists all faults of both.
fn new_cert(owner: &str, mut fields: Fields) -> Result<NewCert, ApiError> {
    let name = fields.text("name", CERT_NAME_LENGTH_MAX);
    if fields.is_fine("name")
        && let Err(wrong) = check_name(&name)
    {
        fields.complain("name", wrong.to_string());
    }
    let certificate = fields.text("certificate", PEM_CHARS_MAX);
    let certificate = understood(&mut fields, "certificate", || Certificate::parse(&certificate));
    let key_text = fields.text("key", PEM_CHARS_MAX);
    let key = understood(&mut fields, "key", || PrivateKey::parse(&key_text));
    let is_forced = fields.is_true("force");
    fields.finish()?;
    let (Some(certificate), Some(key)) = (certificate, key) else {
        return Err(ApiError::internal("a certificate or key was neither understood nor complained about"));
    };
    let certificate = certificate.of_key(&key).ok_or_else(|| ApiError::field("key", NO_MATCH))?;
    let Certificate { pem, facts, .. } = certificate;
    let now = Timestamp::now();
    if facts.expires < now && !is_forced {
        return Err(ApiError::field("certificate", expired(facts.expires)));
    }
    let pair = Pair { certificate: pem, key: key.pem };
    Ok(NewCert { name, owner: owner.to_owned(), facts, pair, now })
}

fn expired(since: Timestamp) -> String {
    let since = wire_time(since);
    format!(
        "It expired at {since}, so no visitor would trust it. Give a newer one, or add it all the same with --force \
         (\"force\": true)."
    )
}

/// Parses a field that has no complaint so far.
fn understood<T, E: std::fmt::Display>(
    fields: &mut Fields,
    name: &str,
    parse: impl FnOnce() -> Result<T, E>,
) -> Option<T> {
    if !fields.is_fine(name) {
        return None;
    }
    parse().inspect_err(|wrong| fields.complain(name, wrong.to_string())).ok()
}

fn show(cert: CertRecord) -> api::certs::Cert {
    let CertRecord { id, name, owner, facts, domains, created, updated, is_automatic } = cert;
    let CertFacts { common_name, san, fingerprint, expires, starts, issuer, subject } = facts;
    api::certs::Cert {
        id,
        owner,
        domains,
        san,
        created: wire_time(created),
        updated: wire_time(updated),
        name,
        common_name,
        fingerprint,
        expires: Some(wire_time(expires)),
        starts: Some(wire_time(starts)),
        issuer,
        subject,
        automatic: is_automatic,
    }
}
