//! Access rules, of which each operation of the API names one. An operation is declared beside its handler.
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
