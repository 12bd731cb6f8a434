//! The router against real sockets: what a visitor sees, and what an app sees.

mod app;
mod echo;
mod frames;
mod visitor;
mod world;

mod answers;
mod bodies;
mod changes;
mod draining;
mod framing;
mod fuzz;
mod headers;
mod hosts;
mod http2;
mod https;
mod interim;
mod metrics;
mod passthrough;
mod proxies;
mod retries;
mod rules;
mod secure;
mod slow;
mod smuggling;
mod targets;
mod tls;
mod upgrades;
mod wire;
