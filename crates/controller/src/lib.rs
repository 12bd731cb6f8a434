//! The controller: the REST API and the reconcilers behind it.
//!
//! A handler reads, decides by a rule of `domain`, records, and wakes the deployer; it never makes
//! anything run itself. What became of a wish is read from the store.

pub mod auto_certs;
mod certificates;
mod deploy_hooks;
pub mod deployer;
pub mod directory;
mod http;
mod logger;
mod logins;
mod passwords;
mod rooms;
mod serve;
mod settings;
mod tokens;
mod trusted;
mod wishes;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use domain::AppName;
use domain::logs::{LogLine, LogSource};
use engine::{Engine, Images, Jobs, Logs, Terminals};
use jiff::Timestamp;
use store::Store;
use tokio::sync::{Notify, watch};

pub use http::{hook_methods, hooks_router, public_methods, public_router};
pub use serve::serve;
pub use settings::{AcmeSettings, ControllerSettings, RegistrationMode, Secret};

use deploy_hooks::DeployHooks;
use logger::Logger;
use logins::Logins;
use passwords::Passwords;
use rooms::Rooms;

/// What the controller stands on.
pub struct Parts {
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub jobs: Arc<dyn Jobs>,
    pub terminals: Arc<dyn Terminals>,
    pub images: Arc<dyn Images>,
    pub logs: Arc<dyn Logs>,
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
    pub logs: Arc<dyn Logs>,
    pub settings: Arc<ControllerSettings>,
    /// Wakes the deployer: something was recorded that may have to be carried out.
    pub wake: Arc<Notify>,
    /// Wakes what gets certificates.
    pub(crate) certs_wanted: Arc<Notify>,
    /// Bumped when a deploy or a removal has ended.
    pub(crate) ended: watch::Sender<u64>,
    /// Apps of which the engine could not be told something; the deployer does.
    pub(crate) unsettled: Arc<Mutex<BTreeSet<AppName>>>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) logins: Arc<Logins>,
    pub(crate) deploy_hooks: DeployHooks,
    pub(crate) rooms: Rooms,
    /// `None` on a platform without one.
    pub(crate) logger: Option<Logger>,
}

impl Controller {
    pub fn new(parts: Parts) -> Self {
        let Parts { store, engine, jobs, terminals, images, logs, settings } = parts;
        let logger = settings.logger_url.as_deref().map(|url| Logger::new(url, settings.logger_key.clone()));
        Self {
            store,
            engine,
            jobs,
            terminals,
            images,
            logs,
            settings: Arc::new(settings),
            wake: Arc::new(Notify::new()),
            certs_wanted: Arc::new(Notify::new()),
            ended: watch::Sender::new(0),
            unsettled: Arc::default(),
            passwords: Arc::new(Passwords::new()),
            logins: Arc::default(),
            deploy_hooks: DeployHooks::default(),
            rooms: Rooms::default(),
            logger,
        }
    }

    /// Adds a line to the app's log, as the controller.
    pub(crate) fn say(&self, app: &AppName, text: impl Into<String>) {
        self.logs.write(LogLine {
            time: Timestamp::now(),
            app: app.clone(),
            source: LogSource::Platform { component: "controller".to_owned(), level: "INFO".to_owned() },
            text: text.into(),
        });
    }
}
