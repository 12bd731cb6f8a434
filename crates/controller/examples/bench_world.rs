//! Server for `cargo xtask bench api`: the real API over HTTP on a real database with a given number of apps, and
//! an engine in memory, so that the figures contain nothing but the controller's own work.
//!
//! `bench_world DATABASE_URL APPS` seeds, prints `ready PORT TOKEN`, and serves until its input ends.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use controller::{Controller, ControllerParts, ControllerSettings, Secret};
use domain::AppName;
use domain::config::{Config, ConfigPatch, Texts};
use domain::sealing::SealingKey;
use domain::stacks::StackName;
use domain::users::AddCondition;
use engine::fake::FakeEngine;
use engine::log_queue::LogQueue;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use store::{NewApp, NewUser, ReleaseChange, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;

type Failure = Box<dyn std::error::Error>;

const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";
/// Releases of the app whose releases are listed.
const RELEASES: usize = 200;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, url, apps] = &arguments[..] else { return Err("usage: bench_world DATABASE_URL APPS".into()) };
    let store = Store::open(url, SealingKey::new(&[7; 32])).await?;
    seed(&store, apps.parse()?).await?;
    let engine = Arc::new(FakeEngine::new());
    let controller = Controller::new(ControllerParts {
        store,
        engine: engine.clone(),
        jobs: engine.clone(),
        terminals: engine.clone(),
        images: engine,
        log_sink: Arc::<LogQueue>::default(),
        settings: ControllerSettings::new("example.com", Secret::new("builder-key")),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready {} {TOKEN}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    let (stop, stopping) = watch::channel(false);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.send_replace(true);
    });
    controller::serve(listener, controller::public_router(controller), stopping).await?;
    Ok(())
}

/// An administrator whom all apps belong to, and many releases of the first.
async fn seed(store: &Store, apps: usize) -> Result<(), Failure> {
    let now = Timestamp::now();
    let user = NewUser::named("alice", "none: nobody logs in", now);
    store.add_user(user, AddCondition::Anyhow).await?;
    store.add_token("alice", &hex::encode(Sha256::digest(TOKEN)), now).await?;
    for number in 0..apps {
        let id = AppName::parse(&format!("app-{number:05}"))?;
        store
            .create_app(NewApp {
                id,
                owner: "alice".to_owned(),
                config: Config::default(),
                stack: StackName::bookworm(),
                now,
            })
            .await?;
    }
    let first = AppName::parse("app-00000")?;
    for number in 1..RELEASES {
        let body = serde_json::json!({ "values": { "NUMBER": number.to_string() } });
        let patch = ConfigPatch::parse(body.as_object().ok_or("an object")?)?;
        let change = ReleaseChange::Configured { patch: &patch, default_tags: &Texts::new() };
        store.add_release(&first, "alice", change, now).await?;
    }
    Ok(())
}
