//! The directory (LDAP) that knows passwords besides the platform: search for the user, then bind as the entry
//! that was found (docs/spec/api.md 4.2).
//!
//! Each question has a connection of its own, encrypted unless the operator gave that up, and a bound in time.
//! Referrals are not followed: a password goes nowhere but to the server that the operator named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::directory::{ATTRIBUTES, Person, is_attribute, person, user_filter};
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchEntry, SearchOptions,
};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::timeout;

use crate::turns::{TurnError, TurnLimits, Turns};
use crate::{Secret, trusted};

/// Longest time of the directory for one login.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Logins that ask the directory at the same time; some others wait for their turn.
const AT_ONCE_MAX: usize = 16;
const WAITING_MAX: usize = 64;
/// One more than a name may have.
const ENTRIES_MAX: i32 = 2;

/// Result codes (RFC 4511, 4.1.9).
const SUCCESS: u32 = 0;
const SIZE_EXCEEDED: u32 = 4;
const REFERRAL: u32 = 10;
const NO_SUCH_OBJECT: u32 = 32;
const INVALID_CREDENTIALS: u32 = 49;
/// Result codes that are a fault of the server, not of the login: operationsError, busy, unavailable, other.
const SERVER_FAULTS: [u32; 4] = [1, 51, 52, 80];

/// Settings of the directory.
#[derive(Debug, Clone)]
pub struct DirectorySettings {
    /// `ldaps://host[:port]`, or `ldap://host[:port]`.
    pub endpoint: String,
    /// Encrypts `ldap://` before the first request (StartTLS).
    pub start_tls: bool,
    /// PEM bundle of the authorities that the server's certificate is checked against; `None`: the system's.
    pub ca_bundle: Option<Vec<u8>>,
    /// As whom the search is made: DN and password; `None` searches without a name.
    pub searcher: Option<(String, Secret)>,
    /// Users are at or below this entry.
    pub users_below: String,
    /// The attribute that holds the username.
    pub name_attribute: String,
    pub timeout: Duration,
}

/// A handle to the directory; clones share its bounds.
#[derive(Clone)]
pub struct Directory {
    settings: Arc<DirectorySettings>,
    tls: Arc<ClientConfig>,
    turns: Turns,
}

/// An unusable description of a directory. The text names the fault, without a value that may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum DirectorySettingsError {
    #[error("endpoint `{0}`: expected ldaps://host[:port] or ldap://host[:port]")]
    Endpoint(String),
    #[error("user attribute `{0}`: expected the name of one attribute, such as uid or sAMAccountName")]
    Attribute(String),
    #[error("user base DN: expected the entry that users are below, such as ou=people,dc=example,dc=com")]
    NoBase,
    #[error("bind password: empty, and servers take that for a bind without a name; set it, or no bind DN")]
    NoPassword,
    #[error("CA bundle: {0}")]
    Bundle(String),
    #[error("this system's authorities: {0}; give a CA bundle")]
    Authorities(#[source] rustls::Error),
}

/// A directory that did not answer. A retry may help.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("the directory did not answer within {0:?}")]
    Silent(Duration),
    #[error("the directory cannot be asked to {what}")]
    Failed {
        what: &'static str,
        #[source]
        cause: Box<LdapError>,
    },
    #[error("the directory refused to {what} with code {code}: {text}")]
    Refused { what: &'static str, code: u32, text: String },
    /// It was not asked.
    #[error(transparent)]
    Overload(#[from] DirectoryOverload),
}

/// Others ask the directory first.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DirectoryOverload(pub(crate) TurnError);

impl Directory {
    pub fn new(settings: DirectorySettings) -> Result<Self, DirectorySettingsError> {
        check(&settings)?;
        let tls = Arc::new(tls(settings.ca_bundle.as_deref())?);
        let turns =
            TurnLimits { at_once_max: AT_ONCE_MAX, waiting_max: WAITING_MAX, wait_max: settings.timeout };
        let turns = Turns::new(turns);
        Ok(Self { settings: Arc::new(settings), tls, turns })
    }

    /// Finds the user with this name and password; `None` if there is no such user, or the password is wrong.
    pub async fn who(&self, username: &str, password: &str) -> Result<Option<Person>, DirectoryError> {
        self.who_in_turn(username, password, 0).await
    }

    /// The same for an attempt that goes so far behind others.
    pub(crate) async fn who_in_turn(
        &self,
        username: &str,
        password: &str,
        rank: u32,
    ) -> Result<Option<Person>, DirectoryError> {
        // A bind without a password is one without a name, which servers allow (RFC 4513, 5.1.2).
        if username.is_empty() || password.is_empty() {
            return Ok(None);
        }
        let asked = async {
            let _turn = self.turns.take(rank).await.map_err(DirectoryOverload)?;
            self.ask(username, password).await
        };
        timeout(self.settings.timeout, asked)
            .await
            .unwrap_or_else(|_| Err(DirectoryError::Silent(self.settings.timeout)))
    }

    async fn ask(&self, username: &str, password: &str) -> Result<Option<Person>, DirectoryError> {
        let mut server = self.connect().await?;
        let Some(entry) = self.find(&mut server, username).await? else { return Ok(None) };
        let attributes: BTreeMap<_, _> = entry.attrs.into_iter().collect();
        let person = match person(&self.settings.name_attribute, username, &attributes) {
            Ok(person) => person,
            Err(error) => {
                tracing::warn!(entry = entry.dn, %error, "an entry of the directory is no user here");
                return Ok(None);
            }
        };
        Ok(has_password(&mut server, &entry.dn, password).await?.then_some(person))
    }

    /// Connects and binds as the searching account. The connection ends when the handle is dropped.
    async fn connect(&self) -> Result<Ldap, DirectoryError> {
        let settings =
            LdapConnSettings::new().set_starttls(self.settings.start_tls).set_config(Arc::clone(&self.tls));
        let (connection, mut server) = LdapConnAsync::with_settings(settings, &self.settings.endpoint)
            .await
            .map_err(failed("take a connection"))?;
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to the directory ended");
            }
        });
        if let Some((dn, password)) = &self.settings.searcher {
            let what = "let the platform in";
            let bound = server.simple_bind(dn, password.expose()).await.map_err(failed(what))?;
            refused(what, bound)?;
        }
        Ok(server)
    }

    /// The one entry with this name.
    async fn find(&self, server: &mut Ldap, username: &str) -> Result<Option<SearchEntry>, DirectoryError> {
        let DirectorySettings { users_below, name_attribute, .. } = &*self.settings;
        let what = "look for the user";
        let filter = user_filter(name_attribute, username);
        let attributes: Vec<&str> = ATTRIBUTES.into_iter().chain([name_attribute.as_str()]).collect();
        server.with_search_options(SearchOptions::new().sizelimit(ENTRIES_MAX));
        let found = server.search(users_below, Scope::Subtree, &filter, attributes).await;
        let ldap3::SearchResult(mut entries, result) = found.map_err(failed(what))?;
        if !matches!(result.rc, SUCCESS | SIZE_EXCEEDED | NO_SUCH_OBJECT | REFERRAL) {
            refused(what, result)?;
        }
        if entries.len() > 1 {
            tracing::warn!(username, "several entries of the directory have this name, so none may log in");
            return Ok(None);
        }
        // An entry without a name would be bound to as nobody, with any password.
        Ok(entries.pop().map(SearchEntry::construct).filter(|entry| !entry.dn.trim().is_empty()))
    }
}

async fn has_password(server: &mut Ldap, dn: &str, password: &str) -> Result<bool, DirectoryError> {
    let what = "check the password";
    let bound = server.simple_bind(dn, password).await.map_err(failed(what))?;
    match bound.rc {
        SUCCESS => Ok(true),
        code if SERVER_FAULTS.contains(&code) => refused(what, bound).map(|()| false),
        code => {
            if code != INVALID_CREDENTIALS {
                tracing::info!(
                    entry = dn,
                    code,
                    reason = bound.text,
                    "the directory lets nobody in as this entry"
                );
            }
            Ok(false)
        }
    }
}

fn failed(what: &'static str) -> impl FnOnce(LdapError) -> DirectoryError {
    move |cause| DirectoryError::Failed { what, cause: Box::new(cause) }
}

fn refused(what: &'static str, result: LdapResult) -> Result<(), DirectoryError> {
    match result.rc {
        SUCCESS => Ok(()),
        code => Err(DirectoryError::Refused { what, code, text: result.text }),
    }
}

fn check(settings: &DirectorySettings) -> Result<(), DirectorySettingsError> {
    let DirectorySettings { endpoint, searcher, users_below, name_attribute, .. } = settings;
    let address = ["ldaps://", "ldap://"].iter().find_map(|scheme| endpoint.strip_prefix(scheme));
    let address = address.unwrap_or_default().trim_end_matches('/');
    let is_host = |char: char| char.is_ascii_alphanumeric() || "-._:[]".contains(char);
    if address.is_empty() || address.starts_with(':') || !address.chars().all(is_host) {
        return Err(DirectorySettingsError::Endpoint(endpoint.clone()));
    }
    if !is_attribute(name_attribute) {
        return Err(DirectorySettingsError::Attribute(name_attribute.clone()));
    }
    if users_below.trim().is_empty() {
        return Err(DirectorySettingsError::NoBase);
    }
    if searcher.as_ref().is_some_and(|(_, password)| password.expose().is_empty()) {
        return Err(DirectorySettingsError::NoPassword);
    }
    Ok(())
}

/// Verification of the server's certificate: always, by its name and a trusted authority.
fn tls(ca_bundle: Option<&[u8]>) -> Result<ClientConfig, DirectorySettingsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions");
    let Some(bundle) = ca_bundle else {
        let builder = builder.with_platform_verifier().map_err(DirectorySettingsError::Authorities)?;
        return Ok(builder.with_no_client_auth());
    };
    let roots = trusted::authorities(bundle).map_err(DirectorySettingsError::Bundle)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Its settings, of which passwords do not show.
impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Directory").field(&self.settings.endpoint).finish()
    }
}
