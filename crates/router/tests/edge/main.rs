//! The router against real sockets: what a visitor sees, and what an app sees.

mod app;
mod echo;
mod frames;
mod visitor;
mod world;

mod answers;
mod app_log;
mod bodies;
mod challenges;
mod changes;
mod draining;
mod framing;
mod fuzz;
mod h2c;
mod headers;
mod hosts;
mod http2;
mod https;
mod interim;
mod last_table;
mod limits;
mod metrics;
mod passthrough;
mod proxies;
mod retries;
mod rules;
mod secure;
mod settings;
mod slow;
mod smuggling;
mod targets;
mod tls;
mod upgrades;
mod ways;
mod wire;
