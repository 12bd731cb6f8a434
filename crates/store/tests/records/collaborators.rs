use domain::AppName;
use domain::access::Role;
use jiff::Timestamp;
use store::StoreError;

use crate::World;

/// An app `blog` of alice, and bob.
async fn world() -> (World, AppName) {
    let world = World::new().await;
    world.user("alice").await;
    world.user("bob").await;
    world.app("blog", "alice").await;
    (world, AppName::parse("blog").expect("a name"))
}

#[tokio::test]
async fn an_app_is_granted_once_and_taken_back_once() {
    let (world, blog) = world().await;
    let store = &world.store;

    for is_new in [true, false] {
        let granted = store.add_collaborator(&blog, "bob", Timestamp::now()).await;
        assert_eq!(granted.expect("an answer"), is_new);
    }
    assert_eq!(store.collaborators(&blog).await.expect("an answer"), ["bob"]);
    assert!(store.is_collaborator(&blog, "bob").await.expect("an answer"));
    assert!(!store.is_collaborator(&blog, "alice").await.expect("an answer"));
    for was_there in [true, false] {
        assert_eq!(store.remove_collaborator(&blog, "bob").await.expect("an answer"), was_there);
    }
    assert!(!store.is_collaborator(&blog, "bob").await.expect("an answer"));
}

#[tokio::test]
async fn roles_on_an_app_are_those_of_its_owner_and_of_collaborators() {
    let (world, blog) = world().await;
    let roles =
        async |user| world.store.roles_on(&blog, user).await.expect("an answer").expect("the app is there");

    assert_eq!((roles("alice").await, roles("bob").await), (vec![Role::Owner], vec![]));
    world.store.add_collaborator(&blog, "bob", Timestamp::now()).await.expect("a grant");
    assert_eq!((roles("alice").await, roles("bob").await), (vec![Role::Owner], vec![Role::Collaborator]));
    let shop = AppName::parse("shop").expect("a name");
    assert_eq!(world.store.roles_on(&shop, "bob").await.expect("an answer"), None);
}

#[tokio::test]
async fn only_what_exists_is_granted_to_who_exists() {
    let (world, blog) = world().await;
    let shop = AppName::parse("shop").expect("a name");

    for (app, user) in [(&blog, "nobody"), (&shop, "bob")] {
        let granted = world.store.add_collaborator(app, user, Timestamp::now()).await;
        assert!(matches!(granted, Err(StoreError::NotFound { .. })), "{granted:?}");
    }
    assert_eq!(world.store.app_owner(&blog).await.expect("an answer").as_deref(), Some("alice"));
    assert_eq!(world.store.app_owner(&shop).await.expect("an answer"), None);
}

#[tokio::test]
async fn an_owner_stays_while_a_collaborator_may_go() {
    let (world, blog) = world().await;
    world.store.add_collaborator(&blog, "bob", Timestamp::now()).await.expect("a grant");

    let owner = world.store.remove_user("alice").await;
    world.store.remove_user("bob").await.expect("a removal");

    assert!(matches!(owner, Err(StoreError::Conflict { what }) if what == "apps"));
    assert!(world.store.collaborators(&blog).await.expect("an answer").is_empty());
}
