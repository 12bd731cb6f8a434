//! Access rules: a row for each method of the API. A method without a row is refused to everybody.
//!
//! The order of checks is that of docs/spec/api.md 3: an app that does not exist is missing for everybody, one of
//! somebody else is forbidden.

/// The caller's relation to the platform and to the app of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    Anonymous,
    /// The builder, which has a key of its own.
    Builder,
    /// A user who has nothing to do with the app.
    Stranger,
    Collaborator,
    Owner,
    Admin,
}

/// The callers that a method is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRule {
    /// Everybody, with or without credentials.
    Anyone,
    /// Every user; only the caller's own data is shown and changed.
    User,
    /// Administrators.
    Admin,
    /// Users of the app: its owner, collaborators and administrators.
    UseApp,
    /// The app's owner and administrators: they share, transfer and delete.
    OwnApp,
    /// The same, and the user whom the path names.
    OwnAppOrNamed,
    /// The builder, on the internal listener.
    Builder,
}

impl AccessRule {
    /// Returns true if the rule lets a caller of this standing in.
    pub fn admits(self, standing: Relation) -> bool {
        let is_user = standing >= Relation::Stranger;
        match self {
            Self::Anyone => true,
            // The handler, which reads the path, checks the named user.
            Self::User | Self::OwnAppOrNamed => is_user,
            Self::Admin => standing == Relation::Admin,
            Self::UseApp => standing >= Relation::Collaborator,
            Self::OwnApp => standing >= Relation::Owner,
            Self::Builder => standing == Relation::Builder,
        }
    }
}

use AccessRule::{Admin, Anyone, Builder, OwnApp, OwnAppOrNamed, UseApp, User};

/// Method, path and whom it is for. A HEAD is a GET.
pub const TABLE: &[(&str, &str, AccessRule)] = &[
    // People.
    ("GET", "/v2/", User),
    ("GET", "/v2/openapi.json", Anyone),
    ("POST", "/v2/auth/register", Anyone), // and then by the registration mode: `users::registration`
    ("POST", "/v2/auth/login/", Anyone),
    ("GET", "/v2/auth/whoami", User),
    ("POST", "/v2/auth/passwd", User),
    ("POST", "/v2/auth/tokens/", User),
    ("DELETE", "/v2/auth/tokens/", User), // the token that comes with the request
    ("DELETE", "/v2/auth/cancel", User),
    ("GET", "/v2/users", Admin),
    ("GET", "/v2/admin/perms", Admin),
    ("POST", "/v2/admin/perms", Admin),
    ("DELETE", "/v2/admin/perms/{username}", Admin),
    ("GET", "/v2/keys", User),
    ("POST", "/v2/keys", User),
    ("GET", "/v2/keys/{*id}", User),
    ("DELETE", "/v2/keys/{*id}", User),
    ("GET", "/v2/certs", User),
    ("POST", "/v2/certs", User),
    ("GET", "/v2/certs/{name}", User),
    ("DELETE", "/v2/certs/{name}", User),
    // The certificate must be the caller's, the domain that of an app that they may use.
    ("POST", "/v2/certs/{name}/domain", User),
    ("POST", "/v2/certs/{name}/domain/{domain}", User),
    ("DELETE", "/v2/certs/{name}/domain/{domain}", User),
    // Apps.
    ("GET", "/v2/apps", User),
    ("POST", "/v2/apps", User),
    ("GET", "/v2/apps/{app}", UseApp),
    ("POST", "/v2/apps/{app}", UseApp), // a transfer is for who owns it
    ("DELETE", "/v2/apps/{app}", OwnApp),
    ("GET", "/v2/apps/{app}/perms", UseApp),
    ("POST", "/v2/apps/{app}/perms", OwnApp),
    ("DELETE", "/v2/apps/{app}/perms/{username}", OwnAppOrNamed),
    ("GET", "/v2/apps/{app}/domains", UseApp),
    ("POST", "/v2/apps/{app}/domains", UseApp),
    ("DELETE", "/v2/apps/{app}/domains/{domain}", OwnApp),
    ("GET", "/v2/apps/{app}/settings", UseApp),
    ("POST", "/v2/apps/{app}/settings", UseApp),
    ("GET", "/v2/apps/{app}/whitelist", UseApp),
    ("POST", "/v2/apps/{app}/whitelist", UseApp),
    ("DELETE", "/v2/apps/{app}/whitelist", OwnApp),
    ("GET", "/v2/apps/{app}/tls", UseApp),
    ("POST", "/v2/apps/{app}/tls", UseApp),
    ("GET", "/v2/apps/{app}/certs/auto", UseApp),
    ("POST", "/v2/apps/{app}/certs/auto", UseApp),
    ("GET", "/v2/apps/{app}/services", UseApp),
    ("POST", "/v2/apps/{app}/services", UseApp),
    ("DELETE", "/v2/apps/{app}/services", OwnApp),
    ("GET", "/v2/apps/{app}/logs", UseApp),
    ("GET", "/v2/apps/{app}/logs/follow", UseApp),
    ("GET", "/v2/apps/{app}/config", UseApp),
    ("POST", "/v2/apps/{app}/config", UseApp),
    ("GET", "/v2/apps/{app}/builds", UseApp),
    ("POST", "/v2/apps/{app}/builds", UseApp),
    ("GET", "/v2/apps/{app}/builds/{uuid}", UseApp),
    ("GET", "/v2/apps/{app}/releases", UseApp),
    ("POST", "/v2/apps/{app}/releases/rollback", UseApp),
    ("GET", "/v2/apps/{app}/releases/{version}", UseApp),
    ("POST", "/v2/apps/{app}/scale", UseApp),
    ("POST", "/v2/apps/{app}/run", UseApp),
    ("GET", "/v2/apps/{app}/run/terminal", UseApp),
    ("GET", "/v2/apps/{app}/pods", UseApp),
    ("POST", "/v2/apps/{app}/pods/restart", UseApp),
    ("GET", "/v2/apps/{app}/pods/{type}", UseApp),
    ("POST", "/v2/apps/{app}/pods/{type}/restart", UseApp),
    ("GET", "/v2/apps/{app}/pods/{type}/{name}", UseApp),
    ("POST", "/v2/apps/{app}/pods/{type}/{name}/restart", UseApp),
    ("GET", "/v2/apps/{app}/pods/{type}/{name}/exec", UseApp),
    // The builder, on behalf of a user who must have access to the app.
    ("POST", "/v2/hooks/key", Builder),
    ("POST", "/v2/hooks/access", Builder),
    ("POST", "/v2/hooks/config", Builder),
    ("POST", "/v2/hooks/build", Builder),
    ("GET", "/v2/hooks/apps", Builder),
];

/// Finds the rule of a method; `None` means that nobody may call it.
pub fn rule(method: &str, path: &str) -> Option<AccessRule> {
    let method = if method == "HEAD" { "GET" } else { method };
    TABLE.iter().find(|(name, row, _)| *name == method && *row == path).map(|(_, _, rule)| *rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registration_login_and_the_description_need_no_credentials() {
        let open: Vec<_> = TABLE.iter().filter(|(_, _, rule)| *rule == Anyone).map(|row| row.1).collect();

        assert_eq!(open, ["/v2/openapi.json", "/v2/auth/register", "/v2/auth/login/"]);
    }

    #[test]
    fn whoever_deletes_something_of_an_app_owns_it() {
        for (method, path, rule) in TABLE.iter().filter(|row| row.1.starts_with("/v2/apps/{app}")) {
            let is_for_collaborators = rule.admits(Relation::Collaborator) && *rule != OwnAppOrNamed;
            let shares = *path == "/v2/apps/{app}/perms" && *method == "POST";
            assert_eq!(is_for_collaborators, *method != "DELETE" && !shares, "{method} {path}");
            assert!(!rule.admits(Relation::Anonymous), "{method} {path}");
        }
    }

    #[test]
    fn hooks_are_for_the_builder_and_nothing_else_is() {
        for (_, path, rule) in TABLE {
            assert_eq!(rule == &Builder, path.starts_with("/v2/hooks/"), "{path}");
        }
        assert!(!Builder.admits(Relation::Admin));
    }

    /// Access to a URL is checked before the method.
    #[test]
    fn methods_of_one_path_differ_only_in_what_they_ask_of_an_app() {
        let coarse = |rule: AccessRule| match rule {
            UseApp | OwnApp | OwnAppOrNamed => User,
            other => other,
        };
        for (_, path, rule) in TABLE {
            let others = TABLE.iter().filter(|row| row.1 == *path);
            assert!(others.into_iter().all(|other| coarse(other.2) == coarse(*rule)), "{path}");
        }
    }

    #[test]
    fn what_has_no_row_is_for_nobody_and_each_thing_has_one_row() {
        assert_eq!(rule("PUT", "/v2/apps"), None);
        assert_eq!(rule("HEAD", "/v2/apps"), Some(User));
        for (place, (method, path, _)) in TABLE.iter().enumerate() {
            let again = TABLE[place + 1..].iter().any(|row| (row.0, row.1) == (*method, *path));
            assert!(!again, "{method} {path}");
        }
    }
}
