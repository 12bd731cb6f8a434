//! Access: which roles permit which actions on which resources.
//!
//! Each operation of the API names the permission that it needs, beside its handler; no handler knows roles. A role is
//! granted to a user on an app or on the platform. The order of checks is that of docs/spec/api.md 3: an app that does
//! not exist is missing for everybody, one of somebody else is forbidden.

/// Kind of object that operations act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    // The user's own.
    Account,
    /// The list of the user's apps, and new ones.
    Apps,
    Certificates,
    Keys,
    Tokens,
    // Of an app.
    App,
    AutoCerts,
    Builds,
    Collaborators,
    Config,
    Domains,
    Lock,
    Logs,
    Processes,
    Releases,
    Services,
    Settings,
    Whitelist,
    // Of the platform.
    Administrators,
    Users,
}

/// Holder of a resource, on which a role must be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The user. Operations show and change nothing of others.
    Own,
    App,
    Platform,
}

impl Resource {
    pub fn scope(self) -> Scope {
        match self {
            Self::Account | Self::Apps | Self::Certificates | Self::Keys | Self::Tokens => Scope::Own,
            Self::App
            | Self::AutoCerts
            | Self::Builds
            | Self::Collaborators
            | Self::Config
            | Self::Domains
            | Self::Lock
            | Self::Logs
            | Self::Processes
            | Self::Releases
            | Self::Services
            | Self::Settings
            | Self::Whitelist => Scope::App,
            Self::Administrators | Self::Users => Scope::Platform,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Read,
    /// Create or change.
    Write,
    Delete,
    /// Run a command.
    Run,
    /// Give to another owner.
    Transfer,
}

/// An action on a kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    pub action: Action,
    pub resource: Resource,
}

impl Permission {
    pub const fn new(action: Action, resource: Resource) -> Self {
        Self { action, resource }
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Granted to every active user.
    User,
    /// Granted on an app by its owner.
    Collaborator,
    /// Granted on an app to the user who created it or got it by transfer.
    Owner,
    /// Granted on the platform, and so on every app.
    Administrator,
}

impl Role {
    /// Returns true if the role includes the permission, on what it is granted on.
    pub fn permits(self, permission: Permission) -> bool {
        let scope = permission.resource.scope();
        match self {
            Self::User => scope == Scope::Own,
            Self::Collaborator => scope == Scope::App && !is_for_owners(permission),
            Self::Owner => scope == Scope::App,
            Self::Administrator => true,
        }
    }
}

/// Permissions on an app that collaborators do not have: they neither remove, share, transfer nor lock.
fn is_for_owners(Permission { action, resource }: Permission) -> bool {
    match action {
        Action::Delete | Action::Transfer => true,
        Action::Write => matches!(resource, Resource::Collaborators | Resource::Lock),
        Action::Read | Action::Run => false,
    }
}

/// Returns true if one of the roles includes the permission.
pub fn permit(roles: &[Role], permission: Permission) -> bool {
    roles.iter().any(|role| role.permits(permission))
}

/// Callers that an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRule {
    /// Everybody, with or without credentials.
    Anyone,
    /// The builder, on the internal listener.
    Builder,
    /// Users with the permission.
    Needs(Permission),
    /// Users with the permission, and the user whom the path names. The handler, which reads the path, checks it.
    NeedsUnlessNamed(Permission),
}

/// Rule of an operation that carries out `action` on `resource`.
pub const fn needs(action: Action, resource: Resource) -> AccessRule {
    AccessRule::Needs(Permission::new(action, resource))
}

impl AccessRule {
    /// Returns true if the rule admits a user with these roles; nobody's roles are none.
    pub fn admits(self, roles: &[Role]) -> bool {
        match self {
            Self::Anyone => true,
            Self::Builder => false,
            Self::Needs(permission) => permit(roles, permission),
            Self::NeedsUnlessNamed(_) => !roles.is_empty(),
        }
    }

    /// Scope of the resource; `None` if callers need no credentials of a user.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Anyone | Self::Builder => None,
            Self::Needs(permission) | Self::NeedsUnlessNamed(permission) => Some(permission.resource.scope()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_CONFIG: Permission = Permission::new(Action::Read, Resource::Config);
    const SHARE: Permission = Permission::new(Action::Write, Resource::Collaborators);

    #[test]
    fn a_role_permits_what_it_is_granted_on_and_an_administrator_all() {
        let own = Permission::new(Action::Delete, Resource::Keys);
        let of_platform = Permission::new(Action::Read, Resource::Users);

        assert_eq!(
            [own, READ_CONFIG, of_platform].map(|permission| Role::User.permits(permission)),
            [true, false, false]
        );
        assert_eq!(
            [own, SHARE, of_platform].map(|permission| Role::Owner.permits(permission)),
            [false, true, false]
        );
        assert!([own, SHARE, of_platform].iter().all(|permission| Role::Administrator.permits(*permission)));
    }

    #[test]
    fn collaborators_do_all_but_remove_share_transfer_and_lock() {
        for (action, resource, permitted) in [
            (Action::Write, Resource::Config, true),
            (Action::Run, Resource::Processes, true),
            (Action::Read, Resource::Collaborators, true),
            (Action::Write, Resource::Collaborators, false),
            (Action::Write, Resource::Lock, false),
            (Action::Delete, Resource::Domains, false),
            (Action::Transfer, Resource::App, false),
        ] {
            assert_eq!(
                Role::Collaborator.permits(Permission::new(action, resource)),
                permitted,
                "{action:?} {resource:?}"
            );
        }
    }

    #[test]
    fn roles_add_up_and_none_permit_nothing() {
        assert!(permit(&[Role::User, Role::Collaborator], READ_CONFIG));
        assert!(!permit(&[], READ_CONFIG));
        assert!(!AccessRule::Builder.admits(&[Role::Administrator]));
    }
}
