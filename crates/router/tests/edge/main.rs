//! The router against real sockets: what a visitor sees, and what an app sees.

mod app;
mod visitor;
mod world;

mod bodies;
mod draining;
mod headers;
mod hosts;
mod passthrough;
mod retries;
mod upgrades;
