//! Access to the managed registry.
//!
//! Every credential is derived from one key, so that the issuer of tokens needs neither the controller nor a
//! database: nodes pull while both are down. An app's credential pulls that app's images and nothing else; a
//! build's expires with the build. Follows the scopes of the registry token specification.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::names::AppName;

/// Repository of the managed registry that holds the stack image; anyone may pull it. No app is called so:
/// `deis` is reserved.
pub const STACK_REPOSITORY: &str = "deis/stack";
/// Most scopes of one request, and the longest of them.
pub const SCOPES_MAX: usize = 16;
const SCOPE_BYTES_MAX: usize = 512;

const CONTROLLER: &str = "controller";
const APP_PREFIX: &str = "app-";
const BUILD_PREFIX: &str = "build-";

/// Repository of an app's images.
pub fn app_repository(app: &AppName) -> String {
    app.to_string()
}

/// Repository of what an app's builds keep for the next one.
pub fn cache_repository(app: &AppName) -> String {
    format!("{app}/cache")
}

/// Repository of the copy of an app's pushed source; its pods may not read it.
pub fn bundle_repository(app: &AppName) -> String {
    format!("{app}/git")
}

/// User name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub username: String,
    pub password: String,
}

/// Shows the name only.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({})", self.username)
    }
}

/// The key that all credentials and the tokens' signature come from.
#[derive(Clone)]
pub struct AccessKey(Vec<u8>);

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessKey(..)")
    }
}

/// Someone whose credential was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// The pods of an app.
    App(AppName),
    /// A build of an app.
    Build(AppName),
    /// The platform itself.
    Controller,
}

impl AccessKey {
    /// The key that a secret of the platform makes; every part of the platform has the same.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(secret.into())
    }

    /// Pull credential of an app's pods.
    pub fn for_app(&self, app: &AppName) -> Credential {
        Credential { username: format!("{APP_PREFIX}{app}"), password: self.hex(&["app", app.as_str()]) }
    }

    /// Push credential of a build, valid until this second of the Unix epoch.
    pub fn for_build(&self, app: &AppName, expires_at: i64) -> Credential {
        let until = expires_at.to_string();
        let mac = self.hex(&["build", app.as_str(), &until]);
        Credential { username: format!("{BUILD_PREFIX}{app}"), password: format!("{until}.{mac}") }
    }

    /// Credential of the platform's own processes.
    pub fn for_controller(&self) -> Credential {
        Credential { username: CONTROLLER.to_owned(), password: self.hex(&[CONTROLLER]) }
    }

    /// Seed of the key that tokens are signed with.
    pub fn signing_seed(&self) -> [u8; 32] {
        self.mac(&["token signature"]).finalize().into_bytes().into()
    }

    /// Finds the account of this name and password at this second of the Unix epoch.
    pub fn identify(&self, username: &str, password: &str, now: i64) -> Option<Account> {
        if username == CONTROLLER {
            return self.is(&[CONTROLLER], password).then_some(Account::Controller);
        }
        if let Some(name) = username.strip_prefix(APP_PREFIX) {
            let app = AppName::parse(name).ok()?;
            return self.is(&["app", name], password).then_some(Account::App(app));
        }
        let app = AppName::parse(username.strip_prefix(BUILD_PREFIX)?).ok()?;
        let (until, mac) = password.split_once('.')?;
        let is_right = self.is(&["build", app.as_str(), until], mac);
        // Read only once it is known to be ours.
        let has_time = is_right && until.parse::<i64>().is_ok_and(|until| now < until);
        has_time.then_some(Account::Build(app))
    }

    /// Compares in constant time.
    fn is(&self, words: &[&str], password: &str) -> bool {
        hex::decode(password).is_ok_and(|mac| self.mac(words).verify_slice(&mac).is_ok())
    }

    fn hex(&self, words: &[&str]) -> String {
        hex::encode(self.mac(words).finalize().into_bytes())
    }

    fn mac(&self, words: &[&str]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"deis registry 1");
        for word in words {
            // No word holds this byte, so no two lists of words are one text.
            mac.update(b"\0");
            mac.update(word.as_bytes());
        }
        mac
    }
}

/// Actions on a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Pull,
    Push,
    Delete,
}

impl Action {
    /// Name of the action in scopes of the token protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Pull, Self::Push, Self::Delete].into_iter().find(|action| action.as_str() == text)
    }
}

/// A repository and what someone wants to do with it, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub repository: String,
    pub actions: Vec<Action>,
}

impl Scope {
    /// Reads `repository:<name>:<action>,...`, several separated by blanks. Other resources and unknown actions
    /// are left out: nobody gets them.
    pub fn parse_all(text: &str) -> Vec<Self> {
        text.split(' ').filter(|scope| scope.len() <= SCOPE_BYTES_MAX).filter_map(Self::parse).collect()
    }

    fn parse(text: &str) -> Option<Self> {
        let (repository, actions) = text.strip_prefix("repository:")?.rsplit_once(':')?;
        let mut actions: Vec<_> = actions.split(',').filter_map(Action::parse).collect();
        actions.sort_unstable();
        actions.dedup();
        (!repository.is_empty()).then(|| Self { repository: repository.to_owned(), actions })
    }
}

/// The part of the wanted scope that an account may use; `None` is a caller without a credential.
pub fn granted(account: Option<&Account>, wanted: &Scope) -> Vec<Action> {
    let may = allowed(account, &wanted.repository);
    wanted.actions.iter().copied().filter(|action| may.contains(action)).collect()
}

fn allowed(account: Option<&Account>, repository: &str) -> &'static [Action] {
    match account {
        Some(Account::Controller) => &[Action::Pull, Action::Push, Action::Delete],
        Some(Account::App(app)) if repository == app_repository(app) => &[Action::Pull],
        Some(Account::Build(app))
            if repository == app_repository(app) || repository == cache_repository(app) =>
        {
            &[Action::Pull, Action::Push]
        }
        _ if repository == STACK_REPOSITORY => &[Action::Pull],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str) -> AppName {
        AppName::parse(name).expect("a good name")
    }

    fn key() -> AccessKey {
        AccessKey::new("secret")
    }

    fn identify(credential: &Credential, now: i64) -> Option<Account> {
        key().identify(&credential.username, &credential.password, now)
    }

    fn may(account: Option<&Account>, scope: &str) -> String {
        let scopes = Scope::parse_all(scope);
        let actions = scopes.iter().flat_map(|scope| granted(account, scope));
        actions.map(Action::as_str).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_credential_is_known_again_and_no_other_is() {
        let blog = key().for_app(&app("blog"));

        assert_eq!(identify(&blog, 0), Some(Account::App(app("blog"))));
        assert_eq!(identify(&key().for_controller(), 0), Some(Account::Controller));
        assert_eq!(AccessKey::new("other").identify(&blog.username, &blog.password, 0), None);
        for (username, password) in [
            ("app-shop", blog.password.as_str()),
            ("build-blog", &blog.password),
            ("controller", &blog.password),
            ("blog", &blog.password),
            ("app-blog", &blog.password[..62]),
            ("app-blog", ""),
            ("app-Blog", &blog.password),
        ] {
            assert_eq!(key().identify(username, password, 0), None, "{username}");
        }
    }

    #[test]
    fn a_builds_credential_ends_at_its_time_and_the_time_cannot_be_changed() {
        let build = key().for_build(&app("blog"), 100);

        assert_eq!(identify(&build, 99), Some(Account::Build(app("blog"))));
        assert_eq!(identify(&build, 100), None);
        let longer = build.password.replace("100.", "999.");
        assert_eq!(key().identify(&build.username, &longer, 99), None);
    }

    #[test]
    fn each_account_gets_its_own_repositories_and_everyone_the_stack() {
        let (pods, build) = (Account::App(app("blog")), Account::Build(app("blog")));
        let all = |repository: &str| format!("repository:{repository}:pull,push,delete,*");

        assert_eq!(may(Some(&pods), &all("blog")), "pull");
        assert_eq!(may(Some(&build), &all("blog")), "pull,push");
        assert_eq!(may(Some(&build), &all("blog/cache")), "pull,push");
        assert_eq!(may(Some(&Account::Controller), &all("blog/git")), "pull,push,delete");
        for account in [None, Some(&pods), Some(&build)] {
            assert_eq!(may(account, &all(STACK_REPOSITORY)), "pull");
            for repository in ["shop", "blog2", "blog/git", "blog/x", "deis", ""] {
                assert_eq!(may(account, &all(repository)), "", "{account:?} {repository}");
            }
        }
        assert_eq!(may(Some(&pods), &all("blog/cache")), "");
        assert_eq!(may(None, &all("blog")), "");
    }

    #[test]
    fn scopes_that_are_not_understood_grant_nothing() {
        for text in ["", "registry:catalog:*", "repository:blog", "repository::pull", "blog:pull"] {
            assert_eq!(Scope::parse_all(text), [], "{text:?}");
        }
        let two = Scope::parse_all("repository:a:pull repository:b/c:push,pull");
        assert_eq!(two.len(), 2);
        assert_eq!(
            (two[1].repository.as_str(), &two[1].actions[..]),
            ("b/c", &[Action::Pull, Action::Push][..])
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?} {:?}", key(), key().for_app(&app("blog")));
        assert_eq!(shown, "AccessKey(..) Credential(app-blog)");
    }
}
