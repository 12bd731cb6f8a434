//! Lines about requests: in the operator's log, and in the logs of apps that ask for them.

pub(crate) mod app_log;
pub(crate) mod log_publisher;
pub(crate) mod operator_log;
