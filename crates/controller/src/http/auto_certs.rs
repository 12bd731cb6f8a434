//! Certificates that the platform gets by itself for the domains of an app.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::AppName;
use domain::auto_certs::{Progress, Served, Standing, asked_again, standing};
use domain::tls::parse_enforcement;
use jiff::Timestamp;
use store::AutoDomain;

use super::access::ThisApp;
use super::body::Body;
use super::error::ApiError;
use super::outcome;
use super::paging::wire_time;
use crate::Controller;

const NOT_OFFERED: &str = "This platform gets no certificates by itself: its operator has named no certificate \
    authority (--acme-email).";

/// `GET …/certs/auto/`.
pub(crate) async fn info(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::auto_certs::AutoCerts>, ApiError> {
    Ok(Json(shown(&controller, &app).await?))
}

/// `POST …/certs/auto/`. Asking for what is there already lets domains that rest be tried soon.
pub(crate) async fn change(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
    body: Body,
) -> Result<(StatusCode, Json<api::auto_certs::AutoCerts>), ApiError> {
    let wish = parse_enforcement(body.fields()?.value("enabled"))
        .map_err(|wrong| ApiError::field("enabled", wrong.to_string()))?;
    let wish = wish.ok_or_else(|| ApiError::field("enabled", "This field is required."))?;
    if wish && controller.settings.acme.is_none() {
        return Err(ApiError::bad_request(NOT_OFFERED));
    }
    let is_new = controller.store.want_auto_certs(&app, wish, Timestamp::now()).await?;
    if is_new {
        controller.say(&app, format!("automatic certificates {}", if wish { "on" } else { "off" }));
    }
    if wish {
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

fn show(domain: AutoDomain, enabled: bool, now: Timestamp) -> api::auto_certs::AutoDomain {
    let AutoDomain { domain, app: _, served, progress } = domain;
    let state = match standing(&domain, served.as_ref(), &progress, now) {
        Standing::Platform => "platform",
        Standing::Wildcard => "wildcard",
        Standing::Uploaded => "uploaded",
        _ if !enabled => "off",
        Standing::Issued => "issued",
        Standing::Due => "due",
        Standing::Ordered => "ordered",
        Standing::Resting => "failed",
    };
    let Progress { is_ordered: _, failures: _, error, tried, next_try } = progress;
    let (certificate, expires) = served.map(|Served { name, expires, .. }| (name, expires)).unzip();
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
