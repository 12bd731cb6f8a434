//! All commands, one file per group. Adding a group is a file here and a row in [`GROUPS`].

pub mod access_log;
pub mod apps;
pub mod auth;
pub mod autoscale;
pub mod builds;
pub mod certs;
pub mod completions;
pub mod config;
pub mod domains;
pub mod git;
pub mod healthchecks;
pub mod keys;
pub mod labels;
pub mod limits;
pub mod maintenance;
pub mod perms;
pub mod ps;
pub mod registry;
pub mod releases;
pub mod routing;
pub mod services;
pub mod shortcuts;
pub mod tags;
pub mod timeouts;
pub mod tls;
pub mod users;
pub mod version;
pub mod whitelist;

use crate::command::{Command, CommandGroup};

/// In the order of the help.
pub const GROUPS: &[CommandGroup] = &[
    access_log::GROUP,
    apps::GROUP,
    auth::GROUP,
    autoscale::GROUP,
    builds::GROUP,
    certs::GROUP,
    completions::GROUP,
    config::GROUP,
    domains::GROUP,
    git::GROUP,
    healthchecks::GROUP,
    keys::GROUP,
    labels::GROUP,
    limits::GROUP,
    maintenance::GROUP,
    perms::GROUP,
    ps::GROUP,
    registry::GROUP,
    releases::GROUP,
    routing::GROUP,
    services::GROUP,
    shortcuts::GROUP,
    tags::GROUP,
    timeouts::GROUP,
    tls::GROUP,
    users::GROUP,
    version::GROUP,
    whitelist::GROUP,
];

/// The command with this full name.
pub fn find(name: &str) -> Option<&'static Command> {
    GROUPS.iter().flat_map(|group| group.commands).find(|command| command.name == name)
}
