//! A router that starts while its engine does not answer.

use std::path::Path;
use std::sync::Arc;

use domain::routing::{RouteTable, RouterReport};
use engine::Routes;
use router::{LastTable, RememberedRoutes, Router, RouterSettings};
use testkit::{WAIT_MAX, wait_until_blocking};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::app::App;
use crate::visitor::{Visitor, tcp};
use crate::world::route;

/// An engine that says nothing until a test lets it.
struct Engine(watch::Sender<Arc<RouteTable>>);

impl Routes for Engine {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.0.subscribe()
    }

    fn report(&self, _: RouterReport) {}
}

impl Engine {
    fn silent() -> Arc<Self> {
        Arc::new(Self(watch::Sender::default()))
    }

    fn tell(&self, version: u64, app: &App) {
        let routes = vec![Arc::new(route("blog", &[app]))];
        let table = RouteTable { version, routes, ..RouteTable::default() };
        self.0.send_replace(Arc::new(table));
    }
}

/// A router with its routes, followed and kept in a folder.
struct Remembering {
    runtime: Runtime,
    routes: Arc<RememberedRoutes>,
    router: Router,
    stop: watch::Sender<bool>,
}

impl Remembering {
    fn start(folder: &Path, engine: Arc<Engine>) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let routes = RememberedRoutes::new(Some(LastTable::new(folder.join("routes"), None)));
        let (stop, stopping) = watch::channel(false);
        runtime.spawn(Arc::clone(&routes).follow(engine, stopping.clone()));
        let settings = RouterSettings { workers: 1, ..RouterSettings::new(([127, 0, 0, 1], 0).into()) };
        let watched: Arc<dyn Routes> = routes.clone();
        let router = Router::start(&settings, &watched, &stopping).expect("a free port");
        Self { runtime, routes, router, stop }
    }

    fn ask(&self) -> (u16, String) {
        let mut visitor = Visitor::on(tcp(self.router.address()));
        visitor.send("GET / HTTP/1.1\r\nHost: blog.test\r\n\r\n");
        let answer = visitor.answer();
        (answer.status, answer.body)
    }

    /// Asks until this app answers.
    fn wait_for(&self, app: &str) {
        wait_until_blocking(&format!("{app} answers"), WAIT_MAX, || match self.ask() {
            (200, body) if body == app => Ok(()),
            other => Err(other),
        });
    }

    fn stop(self) {
        self.stop.send_replace(true);
        self.router.join();
        // Waits for the last write.
        drop(self.runtime);
    }
}

fn wait_for_file(path: &Path) {
    wait_until_blocking(&format!("{} is written", path.display()), WAIT_MAX, || path.exists());
}

#[test]
fn the_last_table_is_served_while_the_engine_is_silent_and_replaced_when_it_speaks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (old, new) = (App::named("old"), App::named("new"));
    let engine = Engine::silent();
    engine.tell(7, &old);
    let first = Remembering::start(folder.path(), engine);
    first.wait_for("old");
    wait_for_file(&folder.path().join("routes"));
    first.stop();

    let engine = Engine::silent();
    let second = Remembering::start(folder.path(), Arc::clone(&engine));
    second.wait_for("old");
    assert!(second.routes.is_serving());
    engine.tell(1, &new);
    second.wait_for("new");
}

#[test]
fn a_damaged_table_is_left_out_and_the_engine_is_waited_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("routes"), "workflow route table 1\n{\"version\":")
        .expect("a folder of ours");
    let app = App::named("blog");
    let engine = Engine::silent();
    let world = Remembering::start(folder.path(), Arc::clone(&engine));

    assert!(!world.routes.recall() && !world.routes.is_serving());
    assert_eq!(world.ask().0, 404);
    engine.tell(1, &app);

    world.wait_for("blog");
}
