//! Context of a command: the profile, a client that is logged in, and the app.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use api::client::{Address, Client};

use crate::app::{self, BuilderRemote};
use crate::command::Matches;
use crate::failure::{CommandResult, Failure};
use crate::profile::{self, Profile};
use crate::{api_version, commands};

/// One run of the client.
pub struct Context {
    /// Value of `-c` or `--config=`.
    pub profile: Option<String>,
    warned: Arc<AtomicBool>,
}

/// A profile and the client that speaks for it.
pub struct ApiSession {
    pub profile: Profile,
    pub client: Client,
}

/// A session about one app.
pub struct AppSession {
    pub client: Client,
    pub app: String,
    /// Found by the current folder instead of an option.
    pub detected: bool,
    limit: i64,
}

impl Context {
    pub fn new(profile: Option<String>) -> Self {
        Self { profile, warned: Arc::default() }
    }

    pub fn profile_path(&self) -> CommandResult<PathBuf> {
        profile::path(self.profile.as_deref())
    }

    pub fn load_profile(&self) -> CommandResult<Profile> {
        Profile::load(&self.profile_path()?)
    }

    pub fn session(&self) -> CommandResult<ApiSession> {
        let profile = self.load_profile()?;
        let client = self.client(&profile)?;
        Ok(ApiSession { profile, client })
    }

    /// The session for the app that `--app` or the current folder names.
    pub fn app_session(&self, matches: &Matches) -> CommandResult<AppSession> {
        let ApiSession { profile, client } = self.session()?;
        let (app, detected) = match matches.value("app") {
            Some(app) if !app.is_empty() => (app.to_owned(), false),
            _ => (app::detect(client.address()), true),
        };
        Ok(AppSession { limit: limit(&profile, matches)?, client, app, detected })
    }

    /// A client for the profile's controller, with its token if it has one.
    pub fn client(&self, profile: &Profile) -> CommandResult<Client> {
        let address = Address::parse(&profile.controller)?;
        let warned = Arc::clone(&self.warned);
        let client = Client::new(address, profile.ssl_verify)
            .with_user_agent(format!("Deis Client {}", commands::version::CLIENT))
            .on_api_version(move |server| api_version::check(server, &warned));
        match profile.token.as_str() {
            "" => Ok(client),
            token => Ok(client.with_token(token)),
        }
    }
}

impl ApiSession {
    /// Number of rows to list.
    pub fn limit(&self, matches: &Matches) -> CommandResult<i64> {
        limit(&self.profile, matches)
    }
}

impl AppSession {
    /// Number of rows to list.
    pub fn limit(&self) -> i64 {
        self.limit
    }

    pub fn builder(&self) -> BuilderRemote {
        BuilderRemote::beside(self.client.address())
    }

    pub fn remote_url(&self) -> String {
        self.builder().remote_url(&self.app)
    }

    /// The URL of the app by its first domain, which may lack a scheme.
    pub fn url(&self) -> CommandResult<String> {
        let domains = self.client.domains(&self.app, 1)?;
        match domains.results.first() {
            Some(domain) => Ok(app::host(self.client.address(), &domain.domain)),
            None => Err(Failure::new(format!("No domain assigned to {}", self.app))),
        }
    }
}

fn limit(profile: &Profile, matches: &Matches) -> CommandResult<i64> {
    let number = matches.number("limit")?;
    Ok(number.filter(|number| *number >= 0).unwrap_or_else(|| profile.limit()))
}
