//! Phase 5: not too often, and not too many at once.

use std::time::Duration;

use http::StatusCode;

use super::Refusal;
use super::caller::RequestOrigin;
use crate::limits::requests::RequestPermit;
use crate::state::WorkerState;
use crate::table::site::Site;

/// Counts the request for as long as the permit lives; there is none where nothing is bounded.
pub(super) fn admit(
    shared: &WorkerState,
    site: &Site,
    caller: &RequestOrigin,
) -> Result<Option<RequestPermit>, Refusal> {
    shared.limits.admit(&site.rules.limits, &site.route.owner, caller.address).map_err(too_many)
}

fn too_many(wait: Duration) -> Refusal {
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many requests; try again later");
    Refusal { retry_after: Some(wait), ..refusal }
}
