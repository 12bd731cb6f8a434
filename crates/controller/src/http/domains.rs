//! Domains of an app (docs/spec/api.md 4.14). `domain::domains` decides about claims.

use api::domains::{DOMAIN_PATH, DOMAINS_PATH};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::AppName;
use domain::access::Action::{Delete, Read, Write};
use domain::access::{Resource, needs};
use domain::domains::{DomainError, DomainName};
use jiff::Timestamp;
use store::{DomainRecord, NewDomain, StoreError};

use super::access::{Caller, ThisApp};
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, delete, get, post};
use super::outcome;
use super::paging::{Paging, wire_time};
use crate::Controller;
use crate::concurrency_limits::LimitExceeded;
use crate::dns::DnsServers;

/// Longest text that is accepted; a text longer than a host name gets the message about that.
const INPUT_CHARS_MAX: usize = 10_000;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(DOMAINS_PATH, needs(Read, Resource::Domains), "Lists domains", list)
            .page::<api::domains::Domain>(),
        post(DOMAINS_PATH, needs(Write, Resource::Domains), "Adds a domain", add)
            .takes::<api::domains::NewDomain>()
            .gives::<api::domains::Domain>(201)
            .found_by("domain"),
        delete(DOMAIN_PATH, needs(Delete, Resource::Domains), "Removes a domain", remove),
    ]
}

/// `GET …/domains/`, ordered by text.
async fn list(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    paging: Paging,
) -> Result<Json<api::Page<api::domains::Domain>>, ApiError> {
    let domains = controller.store.domains(&app, paging.page).await?;
    Ok(paging.answer(domains, show))
}

/// `POST …/domains/`.
async fn add(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::domains::Domain>), ApiError> {
    let mut fields = body.fields()?;
    let input = fields.text("domain", INPUT_CHARS_MAX);
    fields.finish()?;
    let name = claimable(&controller, &app, &input).map_err(|wrong| refused(&wrong))?;
    if let Some(servers) = &controller.settings.domain_proof
        && !name.is_own_host_of(&app, &controller.settings.platform_domain)
    {
        // No proof helps with a name that somebody has.
        if controller.store.domain(name.as_str()).await?.is_some() {
            return Err(refused(&name.taken(&input)));
        }
        prove(&controller, servers, &caller, &app, &name).await?;
    }
    let new = NewDomain {
        app: app.clone(),
        owner: caller.name().to_owned(),
        domain: name.to_string(),
        now: Timestamp::now(),
    };
    let most = controller.settings.domains_per_app;
    let domain = controller.store.add_domain(new, most).await.map_err(|error| match error {
        StoreError::Conflict { what } if what == "overlap" => {
            refused(&DomainError::Overlaps { host: name.to_string() })
        }
        StoreError::Conflict { what } if what == "number" => refused(&DomainError::TooMany { most }),
        StoreError::Conflict { .. } => refused(&name.taken(&input)),
        other => other.into(),
    })?;
    controller.say(&app, format!("domain {name} added"));
    controller.certs_wanted.notify_one();
    outcome::of_routing(&controller, &app).await?;
    Ok((StatusCode::CREATED, Json(show(domain))))
}

/// `DELETE …/domains/{domain}`, in any spelling.
async fn remove(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    Path((_, domain)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let name = DomainName::parse(&domain).map_err(|_| ApiError::missing("Domain"))?;
    if !controller.store.remove_domain(&app, name.as_str()).await? {
        return Err(ApiError::missing("Domain"));
    }
    controller.say(&app, format!("domain {name} removed"));
    outcome::of_routing(&controller, &app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a name and refuses those that no app but another may have.
fn claimable(controller: &Controller, app: &AppName, input: &str) -> Result<DomainName, DomainError> {
    let name = DomainName::parse(input)?;
    name.check_free_of_platform(app, &controller.settings.platform_domain)?;
    Ok(name)
}

/// Looks for the proof that the app's owner controls the domain, whoever adds it.
async fn prove(
    controller: &Controller,
    servers: &DnsServers,
    caller: &Caller,
    app: &AppName,
    name: &DomainName,
) -> Result<(), ApiError> {
    let owner = controller.store.app_owner(app).await?.ok_or_else(|| ApiError::missing("App"))?;
    let owner = controller.store.user(&owner).await?.ok_or_else(|| ApiError::missing("User"))?;
    let proof = controller.store.domain_proof(&owner, name).map_err(|wrong| refused(&wrong))?;
    let texts = {
        let _permit = controller.limits.lookups.acquire(caller.name()).map_err(too_many)?;
        servers.txt_records(proof.name()).await
    };
    let texts = texts.map_err(|error| ApiError::unavailable(proof.unanswered(), error))?;
    proof.check(&texts).map_err(|wrong| refused(&wrong))
}

fn too_many(exhausted: LimitExceeded) -> ApiError {
    let detail = match exhausted {
        LimitExceeded::Total => "Too many domains are being added at the moment, try again.".to_owned(),
        LimitExceeded::Share(most) => {
            format!("You are adding {most} domains, which is the most for one user at a time: try again.")
        }
    };
    ApiError::too_many(detail).after(1)
}

fn refused(wrong: &DomainError) -> ApiError {
    ApiError::field("domain", wrong.to_string())
}

fn show(domain: DomainRecord) -> api::domains::Domain {
    let DomainRecord { domain, app, owner, created, updated } = domain;
    let (created, updated) = (wire_time(created), wire_time(updated));
    api::domains::Domain { owner, created, updated, app: app.to_string(), domain }
}
