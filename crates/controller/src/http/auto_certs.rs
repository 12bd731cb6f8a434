//! Certificates that the platform gets by itself for the domains of an app.

use api::auto_certs::AUTO_CERTS_PATH;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::AppName;
use domain::access::Action::{Read, Write};
use domain::access::{Resource, needs};
use domain::auto_certs::{DomainState, OrderProgress, ServedCertificate, asked_again, standing};
use domain::tls::parse_enforcement;
use jiff::Timestamp;
use store::AutoDomainRecord;

use super::access::ThisApp;
use super::body::RawBody;
use super::error::ApiError;
use super::operation::{Operation, get, post};
use super::outcome;
use super::paging::wire_time;
use crate::Controller;

const NOT_OFFERED: &str = "This platform gets no certificates by itself: its operator has named no certificate \
    authority (--acme-email).";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(AUTO_CERTS_PATH, needs(Read, Resource::AutoCerts), "Shows automatic certificates", info)
            .gives::<api::auto_certs::AutoCerts>(200),
        post(
            AUTO_CERTS_PATH,
            needs(Write, Resource::AutoCerts),
            "Gets certificates for an app's domains by itself, or no longer",
            change,
        )
        .takes::<api::auto_certs::AutoCertsChange>()
        .gives::<api::auto_certs::AutoCerts>(201),
    ]
}

/// `GET …/certs/auto/`.
async fn info(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::auto_certs::AutoCerts>, ApiError> {
    Ok(Json(shown(&controller, &app).await?))
}

/// `POST …/certs/auto/`. Turning it on again retries failed domains soon.
pub(crate) async fn change(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::auto_certs::AutoCerts>), ApiError> {
    let enabled = parse_enforcement(body.fields()?.value("enabled"))
        .map_err(|wrong| ApiError::field("enabled", wrong.to_string()))?;
    let enabled = enabled.ok_or_else(|| ApiError::field("enabled", "This field is required."))?;
    if enabled && controller.settings.acme.is_none() {
        return Err(ApiError::bad_request(NOT_OFFERED));
    }
    let is_new = controller.store.want_auto_certs(&app, enabled, Timestamp::now()).await?;
    if is_new {
        controller.say(&app, format!("automatic certificates {}", if enabled { "on" } else { "off" }));
    }
    if enabled {
        ask_again(&controller, &app).await?;
        controller.certs_wanted.notify_one();
    } else {
        // Challenges are over.
        outcome::of_routing(&controller, &app).await?;
    }
    Ok((StatusCode::CREATED, Json(shown(&controller, &app).await?)))
}

async fn ask_again(controller: &Controller, app: &AppName) -> Result<(), ApiError> {
    let now = Timestamp::now();
    for domain in controller.store.auto_domains(app).await? {
        if let Some(next_try) = asked_again(&domain.progress, now) {
            controller.store.reschedule_auto_domain(&domain.domain, next_try).await?;
        }
    }
    Ok(())
}

async fn shown(controller: &Controller, app: &AppName) -> Result<api::auto_certs::AutoCerts, ApiError> {
    let enabled = controller.store.wants_auto_certs(app).await?;
    let domains = controller.store.auto_domains(app).await?;
    let now = Timestamp::now();
    Ok(api::auto_certs::AutoCerts {
        app: app.to_string(),
        enabled,
        offered: controller.settings.acme.is_some(),
        domains: domains.into_iter().map(|domain| show(domain, enabled, now)).collect(),
    })
}

fn show(domain: AutoDomainRecord, enabled: bool, now: Timestamp) -> api::auto_certs::AutoDomain {
    let AutoDomainRecord { domain, app: _, served, progress } = domain;
    let state = match standing(&domain, served.as_ref(), &progress, now) {
        DomainState::Platform => "platform",
        DomainState::Wildcard => "wildcard",
        DomainState::Uploaded => "uploaded",
        _ if !enabled => "off",
        DomainState::Issued => "issued",
        DomainState::Due => "due",
        DomainState::Ordered => "ordered",
        DomainState::Resting => "failed",
    };
    let OrderProgress { is_ordered: _, failures: _, error, tried, next_try } = progress;
    let (certificate, expires) =
        served.map(|ServedCertificate { name, expires, .. }| (name, expires)).unzip();
    api::auto_certs::AutoDomain {
        domain,
        state: state.to_owned(),
        certificate,
        expires: expires.map(wire_time),
        error,
        tried: tried.map(wire_time),
        next_try: next_try.map(wire_time),
    }
}
