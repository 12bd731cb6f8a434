//! A platform whose engine is in memory and whose router listens, and lives of its controller that can be killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use controller::auto_certs::AutoCertsWorker;
use controller::{AcmeSettings, Controller, ControllerParts, ControllerSettings, Secret, deployer};
use domain::auto_certs::ChallengeKind;
use domain::build::{Build, Launch, Origin};
use domain::config::Config;
use domain::release::ProcfileRules;
use domain::sealing::SealingKey;
use domain::stacks::StackName;
use domain::users::AddCondition;
use domain::{AppName, Digest, Image, ProcessType};
use engine::Routes;
use engine::fake::{FakeEngine, LogRecorder};
use jiff::Timestamp;
use router::{HttpsSettings, Router, RouterSettings};
use store::{AutoDomainRecord, NewApp, NewDomain, NewUser, ReleaseChange, Store};
use tempfile::TempDir;
use testkit::wait_until;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::pebble::Pebble;
use crate::visitor::is_shown;

/// Far more than an order takes with all faults on.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Time for the router to learn of a challenge.
pub const SETTLE: Duration = Duration::from_millis(100);

pub struct World {
    pub store: Store,
    pub pebble: Pebble,
    pub https: SocketAddr,
    engine: FakeEngine,
    log_recorder: Arc<LogRecorder>,
    _router: Router,
    _shutdown: watch::Sender<bool>,
    _folder: TempDir,
}

/// One life of a controller; ends with `kill` or when dropped.
pub struct Life {
    task: JoinHandle<()>,
    _shutdown: watch::Sender<bool>,
}

impl Life {
    /// Ends it wherever it is, as kill -9 does.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// Alice's app `blog` runs and wants certificates.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("workflow.db").display());
        let store = Store::open(&url, SealingKey::new(&[7; 32])).await.expect("the store opens");
        let engine = FakeEngine::new();
        let routes: Arc<dyn Routes> = Arc::new(engine.clone());
        let (shutdown, stopped) = watch::channel(false);
        let anywhere: SocketAddr = ([127, 0, 0, 1], 0).into();
        let settings = RouterSettings {
            https: Some(HttpsSettings::new(anywhere)),
            workers: 1,
            ..RouterSettings::new(anywhere)
        };
        let router = Router::start(&settings, &routes, &stopped).expect("free ports");
        let https = router.https_address().expect("it was asked for");
        let pebble = Pebble::start(router.address(), https);
        let user = NewUser::named("alice", "hash", Timestamp::now());
        store.add_user(user, AddCondition::Anyhow).await.expect("a new user");
        let world = Self {
            store,
            pebble,
            https,
            engine,
            log_recorder: Arc::default(),
            _router: router,
            _shutdown: shutdown,
            _folder: folder,
        };
        world.add_app("blog").await;
        world
    }

    /// An app that wants certificates and has a release.
    pub async fn add_app(&self, name: &str) {
        let (id, now) = (app(name), Timestamp::now());
        let new = NewApp {
            id: id.clone(),
            owner: "alice".to_owned(),
            config: Config::default(),
            stack: StackName::bookworm(),
            now,
        };
        self.store.create_app(new).await.expect("a new app");
        let image = Image::Built { app: id.clone(), digest: Digest::of(name.as_bytes()) };
        let build = Build {
            origin: Origin::Buildpack,
            reference: name.to_owned(),
            sha: "1a2b3c4d".to_owned(),
            procfile: [(ProcessType::web(), "run".to_owned())].into(),
            launch: Launch::of(Origin::Buildpack, image, &[]),
            stack: None,
            launches: BTreeMap::new(),
            reason: String::new(),
        };
        let rules = ProcfileRules { reject_if_missing: false, remove_if_missing: true };
        let change = ReleaseChange::Built { build: Box::new(build), rules };
        self.store.add_release(&id, "alice", change, now).await.expect("a release");
        self.store.want_auto_certs(&id, true, now).await.expect("an answer");
    }

    pub async fn add_domain(&self, name: &str, domain: &str) {
        let (owner, now) = ("alice".to_owned(), Timestamp::now());
        let new = NewDomain { domain: domain.to_owned(), app: app(name), owner, now };
        self.store.add_domain(new, 100).await.expect("a free domain");
    }

    fn controller(&self, acme: AcmeSettings) -> Controller {
        let engine = Arc::new(self.engine.clone());
        let settings = ControllerSettings {
            acme: Some(acme),
            poll_interval: Duration::from_millis(100),
            ..ControllerSettings::new("apps.test", Secret::new("builder-key"))
        };
        Controller::new(ControllerParts {
            store: self.store.clone(),
            engine: engine.clone(),
            jobs: engine.clone(),
            terminals: engine.clone(),
            images: engine,
            log_sink: self.log_recorder.clone(),
            settings,
        })
    }

    pub fn acme(&self, challenges: &[ChallengeKind]) -> AcmeSettings {
        AcmeSettings {
            ca_bundle: Some(self.pebble.ca_bundle.clone()),
            challenges: challenges.to_vec(),
            settle: SETTLE,
            ..AcmeSettings::new(self.pebble.directory(), "operator@example.com")
        }
    }

    /// The controller's tasks, as the platform runs them.
    pub fn start(&self, acme: AcmeSettings) -> Life {
        let (shutdown, stopping) = watch::channel(false);
        let task = tokio::spawn(deployer::run_while_leading(self.controller(acme), stopping));
        Life { task, _shutdown: shutdown }
    }

    /// All that gets certificates, without the task around it.
    pub fn auto_certs(&self, acme: AcmeSettings) -> AutoCertsWorker {
        AutoCertsWorker::new(self.controller(acme.clone()), acme)
    }

    pub async fn domain(&self, name: &str, domain: &str) -> AutoDomainRecord {
        let domains = self.store.auto_domains(&app(name)).await.expect("an answer");
        domains.into_iter().find(|known| known.domain == domain).expect("the app has it")
    }

    /// Waits until the domain has a certificate; gives its chain.
    pub async fn until_issued(&self, name: &str, domain: &str) -> String {
        self.until(&format!("{domain} is issued"), async || {
            let domain = self.domain(name, domain).await;
            assert_eq!(domain.progress.error, None, "{:#?}", self.pebble.lines());
            domain.served.is_some()
        })
        .await;
        self.chain(name, domain).await.expect("it is attached")
    }

    pub async fn chain(&self, name: &str, domain: &str) -> Option<String> {
        let attached = self.store.attached_certs(&app(name)).await.expect("an answer");
        let cert = attached.into_iter().find(|cert| cert.domains.iter().any(|it| it == domain))?;
        Some(cert.pair.certificate.clone())
    }

    /// Waits until clients get this chain.
    pub async fn until_shown(&self, domain: &str, chain: &str) {
        self.until(&format!("{domain} is served"), async || is_shown(self.https, domain, chain)).await;
    }

    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        wait_until(what, TIMEOUT, async || holds().await.then_some(()).ok_or_else(|| self.pebble.lines()))
            .await;
    }

    /// The controller's lines in the app's log.
    pub fn said(&self, name: &str) -> Vec<String> {
        self.log_recorder.texts(&app(name))
    }
}

pub fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}
