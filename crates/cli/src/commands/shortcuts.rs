//! Short names for common commands.

use std::collections::BTreeMap;

use crate::command::{Command, Matches, output};
use crate::context::Context;
use crate::failure::CommandResult;
use crate::listing;
use crate::terminal::sayln;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("shortcuts:list", "", "Lists all shortcut commands.", list)
            .args([output()])
            .examples(&["deis shortcuts"]),
    ]
}

/// Sorted by name.
pub const SHORTCUTS: &[(&str, &str)] = &[
    ("create", "apps:create"),
    ("destroy", "apps:destroy"),
    ("info", "apps:info"),
    ("login", "auth:login"),
    ("logout", "auth:logout"),
    ("logs", "apps:logs"),
    ("open", "apps:open"),
    ("passwd", "auth:passwd"),
    ("pull", "builds:create"),
    ("register", "auth:register"),
    ("rollback", "releases:rollback"),
    ("run", "apps:run"),
    ("scale", "ps:scale"),
    ("sharing", "perms:list"),
    ("sharing:add", "perms:create"),
    ("sharing:list", "perms:list"),
    ("sharing:remove", "perms:delete"),
    ("whoami", "auth:whoami"),
];

/// The command of a shortcut; any other word is returned as it is.
pub fn expanded(word: &str) -> &str {
    SHORTCUTS.iter().find(|(name, _)| *name == word).map_or(word, |(_, target)| target)
}

fn list(_: &Context, matches: &Matches) -> CommandResult {
    if matches.wants_json() {
        return listing::json(&SHORTCUTS.iter().copied().collect::<BTreeMap<_, _>>());
    }
    for (name, target) in SHORTCUTS {
        sayln!("{name} -> {target}");
    }
    sayln!();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortcuts_are_sorted_and_match_whole_words() {
        assert!(SHORTCUTS.is_sorted());
        assert_eq!(expanded("sharing:add"), "perms:create");
        assert_eq!(expanded("create:x"), "create:x");
    }
}
