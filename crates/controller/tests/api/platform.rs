//! A platform of its own for each test, asked in process through its real routes.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use controller::{Controller, ControllerParts, ControllerSettings, Secret};
use domain::config::Config;
use domain::crashes::Exit;
use domain::deployment::Workload;
use domain::routing::AppRouting;
use domain::sealing::SealingKey;
use domain::stacks::StackName;
use domain::users::AddCondition;
use domain::{AppName, Digest, Image};
use engine::fake::{FakeEngine, LogRecorder};
use engine::{Engine as _, ResolvedImage};
use jiff::Timestamp;
use listener::http::HttpLimits;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use store::{NewApp, NewUser, Store};
use testkit::{WAIT_MAX, wait_until};
use tower::ServiceExt as _;

use crate::database::TestDatabase;

/// Password of every user that [`TestPlatform::user`] adds.
pub const PASSWORD: &str = "s3cret horse";
/// Key of the builder.
pub const BUILDER_KEY: &str = "builder-key";

pub struct TestPlatform {
    pub controller: Controller,
    pub engine: FakeEngine,
    log_recorder: Arc<LogRecorder>,
    public: Router,
    hooks: Router,
    _database: Option<TestDatabase>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("answers are UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("headers are ASCII"))
    }

    /// Status and body at once, as most tests compare them.
    pub fn both(&self) -> (u16, &str) {
        (self.status, self.text())
    }
}

impl TestPlatform {
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A platform whose settings differ from the defaults.
    pub async fn with(change: impl FnOnce(&mut ControllerSettings)) -> Self {
        let database = TestDatabase::new().await;
        let platform = Self::on(&database.url, change).await;
        Self { _database: Some(database), ..platform }
    }

    /// A platform on this database.
    pub async fn at(url: &str) -> Self {
        Self::on(url, |_| ()).await
    }

    async fn on(url: &str, change: impl FnOnce(&mut ControllerSettings)) -> Self {
        let store = Store::open(url, SealingKey::new(&[7; 32])).await.expect("the store opens");
        let engine = FakeEngine::new();
        let log_recorder = Arc::<LogRecorder>::default();
        let mut settings = ControllerSettings::new("example.com", Secret::new(BUILDER_KEY));
        change(&mut settings);
        let controller = Controller::new(ControllerParts {
            store,
            engine: Arc::new(engine.clone()),
            jobs: Arc::new(engine.clone()),
            terminals: Arc::new(engine.clone()),
            images: Arc::new(engine.clone()),
            log_sink: log_recorder.clone(),
            settings,
        });
        let public = controller::public_router(controller.clone());
        let hooks = controller::hooks_router(controller.clone());
        Self { controller, engine, log_recorder, public, hooks, _database: None }
    }

    /// Adds a user without the API's detours and returns a token; the first one is administrator.
    pub async fn user(&self, name: &str) -> String {
        let token = format!("{:0<40}", hex::encode(name));
        let now = Timestamp::now();
        let user =
            NewUser { email: format!("{name}@example.com"), ..NewUser::named(name, &password_hash(), now) };
        self.controller.store.add_user(user, AddCondition::Anyhow).await.expect("a new user");
        let hash = hex::encode(Sha256::digest(&token));
        self.controller.store.add_token(name, &hash, now).await.expect("a new token");
        token
    }

    /// Adds an app without the API's detours.
    pub async fn app(&self, app: &str, owner: &str) {
        let id = AppName::parse(app).expect("a good name");
        let new = NewApp {
            id,
            owner: owner.to_owned(),
            config: Config::default(),
            stack: StackName::bookworm(),
            now: Timestamp::now(),
        };
        self.controller.store.create_app(new).await.expect("a new app");
    }

    /// The controller's lines in the app's log, oldest first.
    pub fn said(&self, app: &str) -> Vec<String> {
        let app = AppName::parse(app).expect("a good name");
        self.log_recorder.texts(&app)
    }

    /// Tells crashes in apps' logs, as the controller that leads does.
    pub fn tell_crashes(&self) -> tokio::task::JoinHandle<std::convert::Infallible> {
        tokio::spawn(controller::crashes::run(self.controller.clone()))
    }

    /// Lets the process of a pod end, once there is somebody who tells it.
    pub async fn crash(&self, pod: &str, exit: Exit) {
        wait_until("somebody tells crashes", WAIT_MAX, async || self.engine.crash(pod, exit)).await;
    }

    /// Workloads of the app of which there should be replicas.
    pub async fn running(&self, app: &str) -> Vec<Workload> {
        let mut wanted = self.engine.wanted().await.expect("the fake answers");
        wanted.retain(|workload| workload.id.app.as_str() == app && workload.replicas.at_least() > 0);
        wanted
    }

    /// Last routing of the app that the engine got.
    pub fn routing(&self, app: &str) -> AppRouting {
        let mut routed = self.engine.asked().routed;
        routed.retain(|routing| routing.app.as_str() == app);
        routed.pop().expect("a routing of the app")
    }

    /// Makes an image known, with these exposed ports.
    pub fn add_image(&self, reference: &str, ports: &[u16]) {
        let digest = Digest::of(reference.as_bytes());
        let image = Image::External { reference: reference.to_owned(), digest };
        let resolved = ResolvedImage { image, ports: ports.to_vec(), user: String::new() };
        self.engine.register_image(reference, resolved);
    }

    /// Makes the next rollout of the app fail.
    pub fn fail_next_rollout(&self, app: &str, reason: &str) {
        let app = AppName::parse(app).expect("a good name");
        self.engine.fail_next_rollout(&app, reason);
    }

    /// Sends any request to what users reach.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        answer(&self.public, request).await
    }

    /// Sends any request to the internal listener.
    pub async fn send_hook(&self, request: Request<Body>) -> Answer {
        answer(&self.hooks, request).await
    }

    /// Serves what users reach on a port of its own until the test's runtime ends.
    pub async fn serve(&self) -> SocketAddr {
        let proxies = vec!["127.0.0.0/8".parse().expect("a range")];
        self.serve_within(controller::api_limits(256, proxies)).await
    }

    /// The same with these bounds.
    pub async fn serve_within(&self, limits: HttpLimits) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let serving = controller::serve_within(listener, self.public.clone(), limits, stopping);
        tokio::spawn(async move {
            let _ = serving.await;
            drop(stop);
        });
        address
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(request(Method::GET, path, token, "")).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &str) -> Answer {
        self.send(request(Method::POST, path, token, body)).await
    }

    /// Deletes with a body, as a few URLs want it.
    pub async fn delete_with(&self, path: &str, token: &str, body: &str) -> Answer {
        self.send(request(Method::DELETE, path, token, body)).await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Answer {
        self.send(request(Method::DELETE, path, token, "")).await
    }
}

async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("routers do not fail");
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 16 << 20).await.expect("a whole body");
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// A request as the CLI sends it; an empty token means none.
pub fn request(method: Method, path: &str, token: &str, body: &str) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "deis.example.com")
        .header(CONTENT_TYPE, "application/json");
    if !token.is_empty() {
        request = request.header(AUTHORIZATION, format!("token {token}"));
    }
    request.body(Body::from(body.to_owned())).expect("a request")
}

/// Hashed once for the whole run.
fn password_hash() -> String {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| Argon2::default().hash_password(PASSWORD.as_bytes()).expect("a hash").to_string())
        .clone()
}
