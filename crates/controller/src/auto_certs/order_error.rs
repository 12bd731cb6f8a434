//! Failures of certificate orders: the cause, a message for the app's users, and whether the order is lost.

use domain::auto_certs::Fault;
use instant_acme::{Error, Problem};
use jiff::SignedDuration;
use store::StoreError;

use super::transport::RateLimitError;
use crate::deployer::RoutingError;

/// Prefix of error types of ACME (RFC 8555 section 6.7).
const PREFIX: &str = "urn:ietf:params:acme:error:";
/// Pause after a rate limit of the authority that names no time.
const RATE_LIMIT_PAUSE: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug)]
pub(super) enum OrderError {
    /// The authority issues nothing for this order.
    Refused(String),
    /// The authority did not do its part.
    Authority { reason: String, retry_after: Option<SignedDuration>, is_lost: bool },
    /// The platform, or the app, is not ready for it.
    Ours(String),
    /// The authority did not like the number of our request: to be repeated at once.
    Nonce,
    /// The authority knows no account of ours.
    Account(String),
    /// Nobody wants the certificate any more.
    Unwanted,
}

impl OrderError {
    pub(super) fn authority(reason: impl Into<String>) -> Self {
        Self::Authority { reason: reason.into(), retry_after: None, is_lost: false }
    }

    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Refused(_) => Fault::Domain,
            Self::Authority { retry_after: asked, .. } => Fault::Elsewhere { asked: *asked },
            Self::Ours(_) | Self::Nonce | Self::Account(_) | Self::Unwanted => {
                Fault::Elsewhere { asked: None }
            }
        }
    }

    /// Returns true if a new order is needed.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Account(_) => true,
            Self::Authority { is_lost, .. } => *is_lost,
            Self::Ours(_) | Self::Nonce | Self::Unwanted => false,
        }
    }

    pub(super) fn reason(&self) -> String {
        match self {
            Self::Refused(reason) | Self::Ours(reason) | Self::Account(reason) => reason.clone(),
            Self::Authority { reason, .. } => format!("the certificate authority: {reason}"),
            Self::Nonce => "the certificate authority refuses every nonce that it gives".to_owned(),
            Self::Unwanted => "nobody wants it any more".to_owned(),
        }
    }
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => problem.into(),
            Error::Timeout(_) => Self::authority("it takes too long; the order goes on"),
            Error::Other(other) => match other.downcast::<RateLimitError>() {
                Ok(limited) => {
                    let RateLimitError { reason, retry_after: asked } = *limited;
                    Self::Authority { reason, retry_after: Some(asked), is_lost: false }
                }
                Err(other) => Self::authority(chain(&*other)),
            },
            other => Self::authority(chain(&other)),
        }
    }
}

impl From<Problem> for OrderError {
    fn from(problem: Problem) -> Self {
        let kind = problem.r#type.clone().unwrap_or_default();
        let reason = describe(&problem);
        match kind.strip_prefix(PREFIX).unwrap_or_default() {
            "badNonce" => Self::Nonce,
            "accountDoesNotExist" => Self::Account(reason),
            "rateLimited" => Self::Authority { reason, retry_after: Some(RATE_LIMIT_PAUSE), is_lost: false },
            "serverInternal" | "orderNotReady" => Self::authority(reason),
            _ if problem.status.is_some_and(|status| status >= 500) => Self::authority(reason),
            _ => Self::Refused(reason),
        }
    }
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::Unwanted,
            other => Self::Ours(chain(&other)),
        }
    }
}

impl From<RoutingError> for OrderError {
    fn from(error: RoutingError) -> Self {
        match error {
            RoutingError::Store(error) => error.into(),
            RoutingError::Engine(error) => {
                Self::Ours(format!("the routers do not know of the challenge: {}", chain(&error)))
            }
        }
    }
}

/// Text of a problem for people.
pub(super) fn describe(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("about:blank");
    let kind = kind.strip_prefix(PREFIX).unwrap_or(kind);
    match &problem.detail {
        Some(detail) => format!("{detail} ({kind})"),
        None => kind.to_owned(),
    }
}

/// An error with all that led to it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, status: u16) -> OrderError {
        let problem: Problem = serde_json::from_value(serde_json::json!({
            "type": format!("{PREFIX}{kind}"), "detail": "because", "status": status
        }))
        .expect("a problem");
        problem.into()
    }

    #[test]
    fn a_refusal_is_the_domains_and_an_outage_is_not() {
        for (kind, status, fault, is_lost) in [
            ("rejectedIdentifier", 400, Fault::Domain, true),
            ("unauthorized", 403, Fault::Domain, true),
            ("serverInternal", 500, Fault::Elsewhere { asked: None }, false),
            ("anything", 503, Fault::Elsewhere { asked: None }, false),
            ("badNonce", 400, Fault::Elsewhere { asked: None }, false),
            ("accountDoesNotExist", 400, Fault::Elsewhere { asked: None }, true),
            ("rateLimited", 429, Fault::Elsewhere { asked: Some(RATE_LIMIT_PAUSE) }, false),
        ] {
            let error = problem(kind, status);
            assert_eq!((error.fault(), error.is_lost()), (fault, is_lost), "{kind}");
        }
        assert_eq!(problem("caa", 403).reason(), "because (caa)");
    }

    #[test]
    fn how_long_an_authority_wants_to_be_left_alone_is_heeded() {
        let asked = SignedDuration::from_mins(90);
        let limited = RateLimitError { reason: "too many orders".to_owned(), retry_after: asked };

        let error = OrderError::from(Error::Other(Box::new(limited)));

        assert_eq!(error.fault(), Fault::Elsewhere { asked: Some(asked) });
        assert_eq!(error.reason(), "the certificate authority: too many orders");
    }
}
