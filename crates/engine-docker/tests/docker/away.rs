//! Behavior while Docker does not answer: between engine and daemon stands a socket that can be cut.

use std::path::{Path, PathBuf};

use domain::deployment::Replicas;
use engine::conformance::{Subject as _, setting::*};
use engine::{EngineError, Outcome};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::world::World;

const DAEMON: &str = "/var/run/docker.sock";

/// Passes connections on to the daemon until it is dropped, which cuts them all.
struct Wire {
    socket: PathBuf,
    task: AbortHandle,
}

impl Wire {
    fn lay(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("the folder is ours");
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = UnixStream::connect(DAEMON).await.expect("Docker runs");
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Self { socket: socket.to_owned(), task: task.abort_handle() }
    }

    fn cut(self) {
        self.task.abort();
        std::fs::remove_file(&self.socket).expect("it was made by us");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desired_state_made_while_docker_is_away_is_told_so_and_carried_out_when_it_is_back() {
    let mut world = World::new().await;
    let socket = world.state().join("docker.sock");
    world.settings.socket = Some(socket.clone());
    let wire = Wire::lay(&socket);
    world.start().await;
    deploy_well(&world.engine(), &web(&world, 2)).await;
    let before = world.containers();

    wire.cut();
    let three = web_of(&world, 2, 3);
    world.engine().apply(&three).await.expect("a desired state needs no Docker");
    let ended = world.engine().outcome(&three.id, 2).await;
    let listed = world.engine().pods(&app()).await;

    for error in [ended.err(), listed.err()] {
        let Some(EngineError::Unreachable { what, .. }) = error else { panic!("{error:?}") };
        assert!(what.contains("docker.sock") && what.contains("is the Docker daemon running?"), "{what}");
    }
    assert_eq!(world.containers(), before);

    let _wire = Wire::lay(&socket);
    assert_eq!(outcome(&world.engine(), &three).await, Outcome::Running);
    assert_eq!(world.engine().wanted().await.expect("reachable")[0].replicas, Replicas::Fixed(3));
    assert!(world.containers().contains(&before[0]));
}
