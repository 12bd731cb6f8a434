//! A `COMMIT` whose answer never came: PostgreSQL is asked what became of it. These hold where tests run on it.

use std::sync::{Arc, Mutex};

use store::PageRange;
use testkit::{WAIT_MAX, wait_until};

use crate::database_errors::{add, healed, names, sorted};
use crate::postgres::{Fate, Line, Server};
use crate::{World, open};

/// The same database by another way.
fn by_way_of(url: &str, line: &Line) -> String {
    let (before, rest) = url.split_once('@').expect("a user");
    let (_, database) = rest.split_once('/').expect("a database");
    format!("{before}@{}/{database}", line.address)
}

fn host(url: &str) -> String {
    let (_, rest) = url.split_once('@').expect("a user");
    rest.split_once('/').expect("a database").0.to_owned()
}

#[tokio::test]
async fn a_commit_that_nobody_answered_is_told_as_it_ended_and_can_be_tried_again() {
    let world = World::new().await;
    let url = &world.database.url;
    if !url.starts_with("postgres") {
        return;
    }
    let line = Line::to(host(url)).await;
    let store = open(&by_way_of(url, &line)).await;

    line.fate(Fate::CutAfter);
    add(&store, "alice").await.expect("it was recorded, and is found to be");
    line.fate(Fate::CutBefore);
    let refused = add(&store, "bob").await.expect_err("it never came to the server");

    assert!(refused.can_be_retried(), "{refused:?}");
    assert_eq!(names(&store).await, ["alice"]);
    add(&store, "bob").await.expect("trying again is safe");
    assert_eq!(names(&store).await, ["alice", "bob"]);
}

#[tokio::test]
async fn a_server_that_is_killed_in_commit_loses_nothing_that_was_answered_as_done() {
    if std::env::var("WORKFLOW_TEST_POSTGRES_URL").unwrap_or_default().is_empty() {
        return;
    }
    let Some(server) = Server::start() else { return };
    let address = server.address();
    let server = Arc::new(Mutex::new(server));
    let line = Line::to(address).await;
    let store = loop {
        let url = format!("postgres://workflow@{}/postgres", line.address);
        let sealing = domain::sealing::SealingKey::new(&[7; 32]);
        match store::Store::open(&url, sealing).await {
            Ok(store) => break store,
            Err(error) => assert!(error.can_be_retried(), "{error:?}"),
        }
    };
    let mut done = Vec::new();

    for round in 0..4 {
        line.fate(Fate::Killed(Arc::clone(&server)));
        let name = format!("user-{round}");
        match add(&store, &name).await {
            Ok(_) => done.push(name),
            Err(error) => assert!(error.can_be_retried(), "{error:?}"),
        }
        answers(&store).await;
        assert_eq!(names_over_any_connection(&store).await, done, "after round {round}");
        healed(&store).await;
        let next = format!("user-{round}-next");
        add(&store, &next).await.expect("the next write is taken");
        done.push(next);
    }
}

/// Each connection that the pool has from before the kill fails once.
async fn names_over_any_connection(store: &store::Store) -> Vec<String> {
    let listed =
        wait_until("the users are listed", WAIT_MAX, async || store.users(PageRange::ALL).await).await;
    sorted(&listed.rows.into_iter().map(|user| user.username).collect::<Vec<_>>())
}

/// Waits until the server is up again.
async fn answers(store: &store::Store) {
    wait_until("the server is up again", WAIT_MAX, async || store.ping().await).await;
}
