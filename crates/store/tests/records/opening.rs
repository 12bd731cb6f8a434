use std::os::unix::fs::PermissionsExt as _;

use domain::sealing::SealingKey;
use store::{PageRange, Store, StoreError};

use crate::{World, open};

#[tokio::test]
async fn records_are_there_after_opening_again() {
    let world = World::new().await;
    world.user("alice").await;
    world.store.close().await;

    let again = open(&world.database.url).await;

    assert!(again.user("alice").await.expect("an answer").is_some());
    again.ping().await.expect("the database answers");
}

#[tokio::test]
async fn the_database_file_and_its_journals_are_private() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&format!("sqlite://{}/a ?%#.db", folder.path().display())).await;
    store.end_all_tokens().await.expect("a write");

    let files: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").flatten().collect();
    assert!(files.iter().any(|file| file.file_name() == "a ?%#.db"), "{files:?}");
    for file in files {
        assert_eq!(file.metadata().expect("metadata").permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_no_database_is_refused_with_the_fix() {
    for (url, part) in [("mysql://x", "postgres://"), ("sqlite://relative.db", "absolute path")] {
        let refused = Store::open(url, SealingKey::new(&[7; 32])).await.err().expect("a refusal");
        assert!(matches!(refused, StoreError::Address { .. }), "{refused:?}");
        assert!(refused.to_string().contains(part), "{refused}");
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_may_be_tried_again() {
    let url = "sqlite:///nonexistent/folder/workflow.db";

    let refused = Store::open(url, SealingKey::new(&[7; 32])).await.err().expect("a refusal");

    assert!(refused.can_be_retried(), "{refused:?}");
}

#[tokio::test]
async fn texts_are_ordered_byte_by_byte_on_every_database() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    for (number, public) in ["b", "B", "a", "ä", "_"].into_iter().enumerate() {
        super::keys::add(&world, &alice.username, &format!("key-{number}"), public).await.expect("a new key");
    }

    let keys = world.store.keys("alice", PageRange::ALL).await.expect("an answer");

    let order: Vec<_> = keys.rows.iter().map(|key| key.public.as_str()).collect();
    assert_eq!(order, ["B", "_", "a", "b", "ä"]);
}
