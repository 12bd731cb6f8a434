//! The router against real sockets: what a visitor sees, and what an app sees.

mod app;
mod visitor;
mod world;

mod answers;
mod bodies;
mod draining;
mod headers;
mod hosts;
mod https;
mod metrics;
mod passthrough;
mod proxies;
mod retries;
mod rules;
mod secure;
mod tls;
mod upgrades;
mod ways;
mod wire;
