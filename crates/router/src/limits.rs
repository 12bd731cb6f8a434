//! Bounds of untrusted work: connections by source, requests by app, rates, and room for bodies.

pub(crate) mod buffering;
pub(crate) mod connections;
pub(crate) mod pace;
pub(crate) mod requests;
