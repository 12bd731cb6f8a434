use domain::users::AddCondition;
use store::{PageRange, StoreError};

use crate::{World, new_user};

#[tokio::test]
async fn only_the_first_user_becomes_superuser() {
    let world = World::new().await;

    let alice = world.user("alice").await;
    let bob = world.user("bob").await;

    assert!(alice.is_superuser && alice.is_staff);
    assert!(!bob.is_superuser && !bob.is_staff);
    assert_eq!(world.store.user("alice").await.expect("an answer"), Some(alice));
}

#[tokio::test]
async fn of_many_who_want_to_be_first_one_is() {
    let world = World::new().await;
    let attempts = (0..8).map(|number| {
        let store = world.store.clone();
        tokio::spawn(async move {
            store.add_user(new_user(&format!("user-{number}")), AddCondition::OnlyAsFirst).await
        })
    });
    let attempts: Vec<_> = attempts.collect();

    let mut joined = 0;
    for attempt in attempts {
        match attempt.await.expect("no panic") {
            Ok(user) => {
                assert!(user.is_superuser);
                joined += 1;
            }
            Err(StoreError::Conflict { what }) => assert_eq!(what, "superuser"),
            Err(error) => panic!("{error:?}"),
        }
    }

    assert_eq!(joined, 1);
    assert_eq!(world.store.users(PageRange::ALL).await.expect("an answer").count, 1);
}

#[tokio::test]
async fn usernames_are_unique_and_case_counts() {
    let world = World::new().await;
    world.user("alice").await;

    let again = world.store.add_user(new_user("alice"), AddCondition::Anyhow).await;

    assert!(matches!(again, Err(StoreError::Conflict { what }) if what == "username"));
    world.user("Alice").await;
}

#[tokio::test]
async fn a_page_of_users_counts_all_of_them_in_the_order_of_joining() {
    let world = World::new().await;
    for name in ["zoe", "bob", "amy"] {
        world.user(name).await;
    }

    let page = world.store.users(PageRange { limit: 1, offset: 1 }).await.expect("an answer");

    assert_eq!(page.count, 3);
    assert_eq!(page.rows.iter().map(|user| user.username.as_str()).collect::<Vec<_>>(), ["bob"]);
}

#[tokio::test]
async fn superusers_come_and_go() {
    let world = World::new().await;
    world.user("alice").await;
    world.user("bob").await;

    world.store.set_superuser("bob", true).await.expect("a change");
    world.store.set_superuser("alice", false).await.expect("a change");
    let nobody = world.store.set_superuser("nobody", true).await;

    let admins = world.store.superusers(PageRange::ALL).await.expect("an answer");
    assert_eq!(admins.rows.iter().map(|user| user.username.as_str()).collect::<Vec<_>>(), ["bob"]);
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_user_goes_with_keys_and_tokens() {
    let world = World::new().await;
    world.user("alice").await;
    let now = jiff::Timestamp::now();
    world.store.add_token("alice", "hash-1", now).await.expect("a new token");
    super::keys::add(&world, "alice", "laptop", "ssh-x AAAA").await.expect("a new key");

    world.store.remove_user("alice").await.expect("a removal");

    assert_eq!(world.store.user_of_token("hash-1").await.expect("an answer"), None);
    assert_eq!(world.store.key_owner("sha of ssh-x AAAA").await.expect("an answer"), None);
    assert!(matches!(world.store.remove_user("alice").await, Err(StoreError::NotFound { .. })));
    assert!(!world.store.has_superuser().await.expect("an answer"));
}
