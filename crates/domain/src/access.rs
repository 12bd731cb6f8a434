//! Who may do what: a row for each thing that the API does. What has no row is refused to everybody.
//!
//! The order of checks is that of api.md 3: an app that does not exist is missing for everybody, one of
//! somebody else is forbidden.

/// What a caller is to the platform, and to the app that a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    Anonymous,
    /// The builder, who shows a key of its own.
    Builder,
    /// A user who has nothing to do with the app.
    Stranger,
    Collaborator,
    Owner,
    Admin,
}

/// Whom a thing is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody, with or without credentials.
    Anyone,
    /// Every user; what it shows and changes is the caller's own.
    User,
    /// Administrators.
    Admin,
    /// Who may use the app: its owner, collaborators and administrators.
    UseApp,
    /// Who may share, give away and take away: the app's owner and administrators.
    OwnApp,
    /// The same, and the user whom the path names.
    OwnAppOrNamed,
    /// The builder, on the internal listener.
    Builder,
}

impl Rule {
    /// Whether the thing is for somebody of this standing.
    pub fn admits(self, standing: Standing) -> bool {
        let is_user = standing >= Standing::Stranger;
        match self {
            Self::Anyone => true,
            // Whether the path names the caller is for who reads the path.
            Self::User | Self::OwnAppOrNamed => is_user,
            Self::Admin => standing == Standing::Admin,
            Self::UseApp => standing >= Standing::Collaborator,
            Self::OwnApp => standing >= Standing::Owner,
            Self::Builder => standing == Standing::Builder,
        }
    }
}

use Rule::{Admin, Anyone, Builder, OwnApp, OwnAppOrNamed, UseApp, User};

/// Method, path and whom it is for. A HEAD is a GET.
pub const TABLE: &[(&str, &str, Rule)] = &[
    // People.
    ("GET", "/v2/", User),
    ("GET", "/v2/openapi.json", Anyone),
    ("POST", "/v2/auth/register", Anyone), // and then by the registration mode: `users::registration`
    ("POST", "/v2/auth/login/", Anyone),
    ("GET", "/v2/auth/whoami", User),
    ("POST", "/v2/auth/passwd", User),
    ("POST", "/v2/auth/tokens/", User),
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
    // The builder, who asks for a user: that user must be able to use the app.
    ("POST", "/v2/hooks/key", Builder),
    ("POST", "/v2/hooks/access", Builder),
    ("POST", "/v2/hooks/config", Builder),
    ("POST", "/v2/hooks/build", Builder),
    ("GET", "/v2/hooks/apps", Builder),
];

/// Whom a thing is for; `None` for what nobody may do.
pub fn rule(method: &str, path: &str) -> Option<Rule> {
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
            let is_for_collaborators = rule.admits(Standing::Collaborator) && *rule != OwnAppOrNamed;
            let shares = *path == "/v2/apps/{app}/perms" && *method == "POST";
            assert_eq!(is_for_collaborators, *method != "DELETE" && !shares, "{method} {path}");
            assert!(!rule.admits(Standing::Anonymous), "{method} {path}");
        }
    }

    #[test]
    fn hooks_are_for_the_builder_and_nothing_else_is() {
        for (_, path, rule) in TABLE {
            assert_eq!(rule == &Builder, path.starts_with("/v2/hooks/"), "{path}");
        }
        assert!(!Builder.admits(Standing::Admin));
    }

    /// The door judges a URL before it looks at the method.
    #[test]
    fn methods_of_one_path_differ_only_in_what_they_ask_of_an_app() {
        let coarse = |rule: Rule| match rule {
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
