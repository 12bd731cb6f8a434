//! The controller: the REST API and the reconcilers behind it.
//!
//! A handler reads, decides by a rule of `domain`, records, and wakes the deployer; it never makes
//! anything run itself. The outcome of a change is read from the store.

pub mod auto_certs;
mod certificates;
mod changes;
mod concurrency_limits;
pub mod crashes;
mod deploy_hooks;
pub mod deployer;
pub mod directory;
pub mod dns;
mod http;
mod inventories;
mod logins;
mod password_policy;
mod passwords;
pub mod retention;
mod serve;
mod settings;
mod tidying;
mod tokens;
mod trusted;
mod turns;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use domain::AppName;
use domain::logs::{LogLine, LogOrigin};
use engine::{Engine, Images, Jobs, LogSink, Terminals};
use jiff::Timestamp;
use logger::LoggerClient;
use store::Store;
use tokio::sync::{Notify, watch};

pub use http::{hook_operations, hooks_router, public_operations, public_router};
pub use password_policy::{PASSWORD_CHARS_MIN, PasswordPolicy};
pub use serve::{api_limits, hooks_limits, serve, serve_within};
pub use settings::{AcmeSettings, ControllerSettings, RegistrationMode, Secret};

use concurrency_limits::ConcurrencyLimits;
use deploy_hooks::DeployHooks;
use http::AccessVersion;
use inventories::Inventories;
use logins::Logins;
use passwords::Passwords;

/// Dependencies of the controller.
pub struct ControllerParts {
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub jobs: Arc<dyn Jobs>,
    pub terminals: Arc<dyn Terminals>,
    pub images: Arc<dyn Images>,
    pub log_sink: Arc<dyn LogSink>,
    pub settings: ControllerSettings,
}

/// A handle to the controller; clones share everything.
#[derive(Clone)]
pub struct Controller {
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub jobs: Arc<dyn Jobs>,
    pub terminals: Arc<dyn Terminals>,
    pub images: Arc<dyn Images>,
    pub log_sink: Arc<dyn LogSink>,
    pub settings: Arc<ControllerSettings>,
    /// Wakes the deployer: something was recorded that may have to be carried out.
    pub wake: Arc<Notify>,
    /// Wakes what gets certificates.
    pub(crate) certs_wanted: Arc<Notify>,
    /// Wakes what tidies the database: rows were removed.
    pub(crate) room_freed: Arc<Notify>,
    /// Bumped when a deploy or a removal has ended.
    pub(crate) ended: watch::Sender<u64>,
    /// Apps for which a call of the engine failed; the deployer repeats it.
    pub(crate) unsettled: Arc<Mutex<BTreeSet<AppName>>>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) logins: Arc<Logins>,
    pub(crate) deploy_hooks: DeployHooks,
    pub(crate) limits: ConcurrencyLimits,
    pub(crate) inventories: Arc<Inventories>,
    /// Notifies long requests that a user lost access.
    pub(crate) access_version: AccessVersion,
    /// `None` on a platform without one.
    pub(crate) logger: Option<LoggerClient>,
}

impl Controller {
    pub fn new(parts: ControllerParts) -> Self {
        let ControllerParts { store, engine, jobs, terminals, images, log_sink, settings } = parts;
        let deploy_hooks = DeployHooks::new(&settings.deploy_hook_urls);
        let logger_key = settings.logger_key.as_ref().map(|key| key.expose().to_owned());
        let logger = settings.logger_url.as_deref().map(|url| LoggerClient::new(url, logger_key));
        Self {
            store,
            engine,
            jobs,
            terminals,
            images,
            log_sink,
            settings: Arc::new(settings),
            wake: Arc::new(Notify::new()),
            certs_wanted: Arc::new(Notify::new()),
            room_freed: Arc::default(),
            ended: watch::Sender::new(0),
            unsettled: Arc::default(),
            passwords: Arc::new(Passwords::new()),
            logins: Arc::default(),
            deploy_hooks,
            limits: ConcurrencyLimits::default(),
            inventories: Arc::default(),
            access_version: AccessVersion::default(),
            logger,
        }
    }

    /// Adds a line to the app's log, as the controller.
    pub(crate) fn say(&self, app: &AppName, text: impl Into<String>) {
        self.log(app, "INFO", text.into());
    }

    /// Adds a line to an app's log that asks its users to do something.
    pub(crate) fn warn(&self, app: &AppName, text: impl Into<String>) {
        self.log(app, "WARN", text.into());
    }

    fn log(&self, app: &AppName, level: &str, text: String) {
        self.log_sink.write(LogLine {
            time: Timestamp::now(),
            app: app.clone(),
            origin: LogOrigin::Platform { component: "controller".to_owned(), level: level.to_owned() },
            text,
        });
    }
}
