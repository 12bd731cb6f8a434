//! The API as clients see it: the real routes on a real database, one module a resource.
//!
//! SQLite, or PostgreSQL where `WORKFLOW_TEST_POSTGRES_URL` names a server.

#[path = "../../../store/tests/database/mod.rs"]
mod database;
#[path = "../../../store/tests/disk/mod.rs"]
mod disk;
mod platform;
mod world;

mod access;
mod admin_perms;
mod app_locks;
mod apps;
mod auth;
mod auto_certs;
mod builder;
mod builds;
mod certs;
mod config;
mod conventions;
mod deploy_hooks;
mod dnsmasq;
mod domain_proofs;
mod domains;
mod edge;
mod floods;
mod health;
mod hooks;
mod keys;
mod ldap;
mod logs;
mod matrix;
mod openapi;
mod passwords;
mod perms;
mod pods;
mod registration;
mod releases;
mod retention;
mod run;
mod scale;
mod services;
mod sessions;
mod settings;
mod slapd;
mod stacks;
mod tls;
mod tokens;
mod users;
mod whitelist;
