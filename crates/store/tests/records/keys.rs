use jiff::Timestamp;
use store::{KeyRecord, NewKey, PageRange, StoreError};

use crate::World;

/// Adds a key whose blob is told apart by its text.
pub async fn add(world: &World, owner: &str, id: &str, public: &str) -> Result<KeyRecord, StoreError> {
    let new = NewKey {
        uuid: format!("uuid of {id}"),
        owner: owner.to_owned(),
        id: id.to_owned(),
        public: public.to_owned(),
        blob_sha256: format!("sha of {public}"),
        fingerprint: "aa:bb".to_owned(),
        now: Timestamp::now(),
    };
    world.store.add_key(new).await
}

#[tokio::test]
async fn a_key_leads_to_its_owner() {
    let world = World::new().await;
    world.user("alice").await;
    let key = add(&world, "alice", "laptop", "ssh-x AAAA").await.expect("a new key");

    assert_eq!(key.created, key.updated);
    let owner = world.store.key_owner("sha of ssh-x AAAA").await.expect("an answer");
    assert_eq!(owner.as_deref(), Some("alice"));
    assert_eq!(world.store.key_owner("sha of another").await.expect("an answer"), None);
}

#[tokio::test]
async fn names_and_blobs_of_keys_are_unique_on_the_platform() {
    let world = World::new().await;
    world.user("alice").await;
    world.user("bob").await;
    add(&world, "alice", "laptop", "ssh-x AAAA").await.expect("a new key");

    let same_id = add(&world, "bob", "laptop", "ssh-x BBBB").await;
    let same_blob = add(&world, "bob", "desktop", "ssh-x AAAA").await;

    assert!(matches!(same_id, Err(StoreError::Conflict { what }) if what == "id"));
    assert!(matches!(same_blob, Err(StoreError::Conflict { what }) if what == "public"));
}

#[tokio::test]
async fn keys_of_others_are_out_of_reach() {
    let world = World::new().await;
    world.user("alice").await;
    world.user("bob").await;
    add(&world, "alice", "laptop", "ssh-x AAAA").await.expect("a new key");

    assert_eq!(world.store.keys("bob", PageRange::ALL).await.expect("an answer").count, 0);
    assert_eq!(world.store.key("bob", "laptop").await.expect("an answer"), None);
    assert!(!world.store.remove_key("bob", "laptop").await.expect("an answer"));
    assert!(world.store.remove_key("alice", "laptop").await.expect("an answer"));
}
