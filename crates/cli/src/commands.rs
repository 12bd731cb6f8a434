//! All commands, one file per group. Adding a group is a file here and a row in [`GROUPS`].

pub mod access_log;
pub mod apps;
pub mod auth;
pub mod autoscale;
pub mod builder;
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
pub mod stacks;
pub mod tags;
pub mod timeouts;
pub mod tls;
pub mod users;
pub mod version;
pub mod whitelist;

use std::sync::LazyLock;

use crate::command::{Command, CommandGroup};

/// In the order of the help.
pub static GROUPS: LazyLock<Vec<CommandGroup>> = LazyLock::new(|| {
    let groups = [
        access_log::commands(),
        apps::commands(),
        auth::commands(),
        autoscale::commands(),
        builder::commands(),
        builds::commands(),
        certs::commands(),
        completions::commands(),
        config::commands(),
        domains::commands(),
        git::commands(),
        healthchecks::commands(),
        keys::commands(),
        labels::commands(),
        limits::commands(),
        maintenance::commands(),
        perms::commands(),
        ps::commands(),
        registry::commands(),
        releases::commands(),
        routing::commands(),
        services::commands(),
        shortcuts::commands(),
        stacks::commands(),
        tags::commands(),
        timeouts::commands(),
        tls::commands(),
        users::commands(),
        version::commands(),
        whitelist::commands(),
    ];
    groups.map(CommandGroup::new).into()
});

/// The command with this full name.
pub fn find(name: &str) -> Option<&'static Command> {
    all().find(|command| command.name == name)
}

pub fn all() -> impl Iterator<Item = &'static Command> {
    GROUPS.iter().flat_map(|group| &group.commands)
}
