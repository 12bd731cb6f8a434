//! Behavior while the API server does not answer: between engine and server stands a connection that can be cut.

use std::net::SocketAddr;

use engine::conformance::{Subject as _, get, setting::*};
use engine::{EngineError, Outcome};
use kube::{Client, Config};
use testkit::wait_until;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::world::World;

/// Passes connections on to the API server until it is cut.
struct Wire {
    address: SocketAddr,
    task: AbortHandle,
}

impl Wire {
    async fn lay(at: SocketAddr, to: String) -> Self {
        let listener = TcpListener::bind(at).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let to = to.clone();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(to).await.expect("the API server answers");
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Self { address, task: task.abort_handle() }
    }

    fn cut(&self) {
        self.task.abort();
    }
}

/// A client whose connections go over a wire; and where that leads.
async fn wired() -> (Client, Wire, String) {
    let mut config = Config::infer().await.expect("KUBECONFIG names a cluster");
    let host = config.cluster_url.host().expect("it names a host").to_owned();
    let server = format!("{host}:{}", config.cluster_url.port_u16().unwrap_or(443));
    let wire = Wire::lay(([127, 0, 0, 1], 0).into(), server.clone()).await;
    config.cluster_url = format!("https://{}", wire.address).parse().expect("a URL");
    config.tls_server_name = Some(host);
    (Client::try_from(config).expect("the settings are good"), wire, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_stays_while_the_api_server_is_away_and_follows_when_it_is_back() {
    let (client, wire, server) = wired().await;
    let world = World::with(client).await;
    let direct = world.another().await;
    direct.route(&routing()).await.expect("reachable");
    deploy_well(&direct, &web(&world, 2)).await;
    let is_one =
        |route: Option<&domain::routing::Route>| route.is_some_and(|route| route.backends.len() == 1);
    let backend = route_becomes(&world.engine(), is_one).await.expect("there").backends.remove(0);

    wire.cut();
    deploy_well(&direct, &web_of(&world, 2, 2)).await;

    let table = world.engine().watch().borrow().clone();
    assert_eq!(route_in(&table).map(|route| route.backends.len()), Some(1));
    assert_eq!(get(backend.address, "/").await.as_deref(), Ok("release 2"));

    let _wire = Wire::lay(wire.address, server).await;
    route_becomes(&world.engine(), |route| route.is_some_and(|route| route.backends.len() == 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_after_the_api_server_was_away() {
    let (client, wire, server) = wired().await;
    let world = World::with(client).await;
    deploy_well(&world.engine(), &web(&world, 2)).await;
    let slow = with_env(web(&world, 3), "START_MS", "1000");
    world.engine().apply(&slow).await.expect("recorded");

    wire.cut();
    let told = world.engine().apply(&web(&world, 4)).await;

    let Err(EngineError::Unreachable { what, .. }) = told else { panic!("{told:?}") };
    assert!(what.contains("no answer from Kubernetes"), "{what}");
    let _wire = Wire::lay(wire.address, server).await;
    // A connection of before may be found broken once more; callers ask again.
    let ended = async || match world.engine().outcome(&slow.id, slow.release).await {
        Err(EngineError::Unreachable { .. }) => None,
        ended => Some(ended),
    };
    let ended = wait_until("the rollout ends", TIMEOUT, ended).await;
    assert_eq!(ended.expect("the engine is reachable"), Outcome::Running);
}
