//! The real `deis`, run as users run it, against a controller that this test plays.
//!
//! Each test asserts what the user sees, the exit code, and the requests on the wire.

mod apps;
mod auth;
mod builder;
mod builds;
mod certs;
mod config;
mod controller;
mod dispatch;
mod examples;
mod git;
mod keys;
mod network;
mod processes;
mod releases;
mod sessions;
mod settings;
mod stacks;
mod terminal;
mod users;
mod world;
