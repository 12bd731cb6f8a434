//! Words and rules of the platform: pure values and functions.
//!
//! No I/O, no clock, no randomness: time, nonces and generated names come in as arguments.
//! Every other crate speaks these words; a rule that needs a mock to be tested belongs here.

pub mod access;
pub mod annotations;
pub mod app_names;
pub mod auto_certs;
pub mod autoscale;
pub mod bool_text;
pub mod branch;
pub mod build;
pub mod build_caches;
pub mod certs;
pub mod challenges;
pub mod cnb;
pub mod config;
pub mod crashes;
pub mod deploy_hooks;
pub mod deployment;
pub mod directory;
pub mod domain_proofs;
pub mod domains;
pub mod edge;
pub mod hosts;
pub mod image;
pub mod image_reference;
pub mod keys;
pub mod logs;
pub mod lookalikes;
pub mod networks;
pub mod outbound;
pub mod pods;
pub mod registry_access;
pub mod release;
pub mod retention;
pub mod routing;
pub mod sbom;
mod schema;
pub mod sealing;
pub mod services;
pub mod settings;
pub mod shell;
pub mod slug_archive;
pub mod slug_image;
pub mod stacks;
pub mod structure;
pub mod terminal;
pub mod throttle;
pub mod times;
pub mod tls;
pub mod users;
pub mod whitelist;
pub mod workload_plan;

pub use image::{Digest, Image};
pub use source::{
    AppName, NameError, ProcessType, build_plan, build_steps, heroku_yml, names, packs, procfile,
    project_toml, submodules, urls,
};
