use jiff::{Timestamp, ToSpan as _};
use store::{Store, StoreError};

use crate::World;

async fn owner(store: &Store, hash: &str) -> Option<String> {
    store.user_of_token(hash).await.expect("an answer").map(|user| user.username)
}

#[tokio::test]
async fn a_user_has_many_tokens_until_they_are_replaced() {
    let world = World::new().await;
    world.user("alice").await;
    world.user("bob").await;
    let now = Timestamp::now();
    for (name, hash) in [("alice", "a1"), ("alice", "a2"), ("bob", "b1")] {
        world.store.add_token(name, hash, now).await.expect("a new token");
    }
    assert_eq!(owner(&world.store, "a1").await.as_deref(), Some("alice"));
    assert_eq!(owner(&world.store, "a2").await.as_deref(), Some("alice"));

    world.store.replace_tokens("alice", "a3", now).await.expect("a new token");

    assert_eq!(owner(&world.store, "a1").await, None);
    assert_eq!(owner(&world.store, "a2").await, None);
    assert_eq!(owner(&world.store, "a3").await.as_deref(), Some("alice"));
    assert_eq!(owner(&world.store, "b1").await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn the_oldest_token_ends_when_there_are_too_many() {
    let world = World::new().await;
    world.user("alice").await;
    let start = Timestamp::now();
    for number in 0..101_i64 {
        let time = start + number.microseconds();
        world.store.add_token("alice", &format!("hash-{number:03}"), time).await.expect("a new token");
    }

    assert_eq!(owner(&world.store, "hash-000").await, None);
    assert_eq!(owner(&world.store, "hash-001").await.as_deref(), Some("alice"));
    assert_eq!(owner(&world.store, "hash-100").await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn nobody_gets_no_token() {
    let world = World::new().await;

    let refused = world.store.add_token("nobody", "hash", Timestamp::now()).await;

    assert!(matches!(refused, Err(StoreError::NotFound { .. })), "{refused:?}");
}

#[tokio::test]
async fn all_tokens_of_everybody_can_be_ended() {
    let world = World::new().await;
    world.user("alice").await;
    world.store.add_token("alice", "a1", Timestamp::now()).await.expect("a new token");

    world.store.end_all_tokens().await.expect("an end");

    assert_eq!(owner(&world.store, "a1").await, None);
}
