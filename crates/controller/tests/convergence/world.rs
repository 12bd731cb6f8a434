//! A platform without its API: records, engine, and deployers that can be started and killed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use controller::deployer::DeployOutcome;
use controller::{Controller, ControllerParts, ControllerSettings, Secret};
use domain::build::{Build, Launch, Origin};
use domain::config::{ConfigPatch, Texts};
use domain::release::ProcfileRules;
use domain::sealing::SealingKey;
use domain::structure::Structure;
use domain::users::AddCondition;
use domain::{AppName, Digest, Image, ProcessType};
use engine::Engine as _;
use engine::fake::{FakeEngine, LogRecorder};
use jiff::Timestamp;
use store::{NewUser, PageRange, ReleaseChange, Store};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::database::TestDatabase;
use crate::stand_in::{StandIn, StopPoint};

/// Far more than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct World {
    pub store: Store,
    pub engine: FakeEngine,
    log_recorder: Arc<LogRecorder>,
    pub settings: ControllerSettings,
    /// Kept until the end; `None` where the database is another process's.
    database: Option<TestDatabase>,
    url: String,
}

/// One life of a controller with its deployer; ends with `kill` or when dropped.
pub struct Life {
    pub controller: Controller,
    deployer: JoinHandle<()>,
}

impl Life {
    /// Ends the deployer wherever it is, as kill -9 does.
    pub async fn kill(mut self) {
        self.deployer.abort();
        let _ = (&mut self.deployer).await;
    }

    /// Wakes the deployer and tells how a deploy ends.
    pub async fn end_of(&self, deploy: i64) -> DeployOutcome {
        self.controller.wake.notify_one();
        let ended = timeout(TIMEOUT, self.controller.wait_for(deploy)).await;
        ended.expect("the deploy ends in time").expect("the store answers")
    }

    /// Carries out a deploy that must succeed.
    pub async fn deploy(&self, deploy: i64) {
        assert_eq!(self.end_of(deploy).await, DeployOutcome::Succeeded);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.deployer.abort();
    }
}

impl World {
    /// A world with alice's app `blog`, of which nothing runs yet.
    pub async fn new() -> Self {
        let database = TestDatabase::new().await;
        let mut world = Self::on(&database.url).await;
        world.database = Some(database);
        let user = NewUser::named("alice", "hash", Timestamp::now());
        world.store.add_user(user, AddCondition::Anyhow).await.expect("a new user");
        world.idle().create_app(app("blog"), "alice").await.expect("a new app");
        world
    }

    /// A world on a database that is another's.
    pub async fn on(url: &str) -> Self {
        let store = Store::open(url, SealingKey::new(&[7; 32])).await.expect("the store opens");
        let settings = ControllerSettings::new("example.com", Secret::new("builder-key"));
        let (engine, log_recorder) = (FakeEngine::new(), Arc::default());
        Self { store, engine, log_recorder, settings, database: None, url: url.to_owned() }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// A world in which release v2 of `blog` runs with `web=1 worker=2`, and a life to go on with.
    pub async fn with_release() -> (Self, Life) {
        let world = Self::new().await;
        let life = world.start();
        life.deploy(world.built("blog", "web worker").await).await;
        life.deploy(world.scaled("worker=2").await).await;
        (world, life)
    }

    /// As when the platform is started with a key file that is not its own.
    pub async fn reopen_with_another_key(&mut self) {
        let key = SealingKey::new(&[8; 32]);
        self.store = Store::open(&self.url, key).await.expect("the store opens");
    }

    pub fn controller_with(&self, engine: Arc<dyn engine::Engine>) -> Controller {
        self.controller_of(self.store.clone(), engine)
    }

    /// A controller with connections of its own to the database, as another process has.
    pub fn controller_on(&self, store: Store) -> Controller {
        self.controller_of(store, Arc::new(self.engine.clone()))
    }

    fn controller_of(&self, store: Store, engine: Arc<dyn engine::Engine>) -> Controller {
        let fake = Arc::new(self.engine.clone());
        let (jobs, terminals) = (fake.clone(), fake.clone());
        let (images, log_sink) = (fake, self.log_recorder.clone());
        let settings = self.settings.clone();
        Controller::new(ControllerParts { store, engine, jobs, terminals, images, log_sink, settings })
    }

    /// A controller whose deployer does not run.
    pub fn idle(&self) -> Controller {
        self.controller_with(Arc::new(StandIn::new(self.engine.clone(), StopPoint::Never)))
    }

    pub fn start(&self) -> Life {
        self.start_with(StandIn::new(self.engine.clone(), StopPoint::Never))
    }

    pub fn start_with(&self, engine: StandIn) -> Life {
        let controller = self.controller_with(Arc::new(engine));
        let deployer = tokio::spawn(controller::deployer::run(controller.clone(), std::future::pending()));
        Life { controller, deployer }
    }

    /// Records a pushed build with these process types; returns its deploy.
    pub async fn built(&self, name: &str, types: &str) -> i64 {
        let rules = ProcfileRules { reject_if_missing: false, remove_if_missing: true };
        self.released(name, ReleaseChange::Built { build: Box::new(build(name, types)), rules }).await
    }

    /// Records a changed variable; returns its deploy.
    pub async fn configured(&self, variable: &str) -> i64 {
        let body = serde_json::json!({"values": {variable: "1"}});
        let patch = ConfigPatch::parse(body.as_object().expect("an object")).expect("a good patch");
        self.released("blog", ReleaseChange::Configured { patch: &patch, default_tags: &Texts::new() }).await
    }

    async fn released(&self, name: &str, change: ReleaseChange<'_>) -> i64 {
        let change = self.store.add_release(&app(name), "alice", change, Timestamp::now()).await;
        change.expect("a recorded change").deploy.expect("a deploy")
    }

    /// Records a scaling; returns its deploy.
    pub async fn scaled(&self, replicas: &str) -> i64 {
        let recorded = self.store.add_scale(&app("blog"), &structure(replicas), Timestamp::now()).await;
        recorded.expect("a recorded change").expect("a change")
    }

    /// Workloads that the engine was told to run: `web v2 x1, worker v2 x2`.
    pub async fn wanted(&self) -> String {
        let wanted = self.engine.wanted().await.expect("the engine answers");
        let words = wanted.iter().map(|workload| {
            let (process, replicas) = (&workload.id.process, workload.replicas.at_least());
            format!("{process} v{} x{replicas}", workload.release)
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Everything that must be the same however it came about.
    pub async fn summary(&self) -> String {
        let releases = self.store.releases(&app("blog"), PageRange::ALL).await.expect("a list").rows;
        let releases: Vec<_> = releases.iter().map(|release| release.summary.as_str()).collect();
        let structure = self.store.structure(&app("blog")).await.expect("an answer");
        let routed = self.engine.asked().routed.pop().expect("a routing");
        let structure = domain::structure::in_words(&structure);
        let wanted = self.wanted().await;
        format!("{wanted} | {structure} | {:?} | {}", routed.target, releases.join(", "))
    }

    /// The controller's lines in the app's log.
    pub fn said(&self) -> Vec<String> {
        self.log_recorder.texts(&app("blog"))
    }
}

pub fn app(name: &str) -> AppName {
    AppName::parse(name).expect("a good name")
}

pub fn structure(text: &str) -> Structure {
    let entry = |entry: &str| {
        let (process, count) = entry.split_once('=').expect("type=number");
        (ProcessType::parse(process).expect("a type"), count.parse().expect("a number"))
    };
    text.split_whitespace().map(entry).collect()
}

fn build(name: &str, types: &str) -> Build {
    let command = |name: &str| (ProcessType::parse(name).expect("a type"), format!("run-{name}"));
    let image = Image::Built { app: app(name), digest: Digest::of(types.as_bytes()) };
    Build {
        origin: Origin::Buildpack,
        reference: name.to_owned(),
        sha: "1a2b3c4d".to_owned(),
        procfile: types.split_whitespace().map(command).collect(),
        launch: Launch::of(Origin::Buildpack, image, &[]),
        stack: None,
        launches: BTreeMap::new(),
        reason: String::new(),
    }
}
