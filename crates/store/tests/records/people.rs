use domain::users::AddCondition;

use crate::{World, new_user};

#[tokio::test]
async fn a_user_of_the_directory_is_added_once_and_never_as_superuser() {
    let world = World::new().await;

    let added = world.store.put_user(new_user("alice")).await.expect("a new user");
    assert!(!added.is_superuser && !added.is_staff && added.is_active);
    assert!(!world.store.has_superuser().await.expect("an answer"));

    let changed = store::NewUser { email: "new@example.com".to_owned(), ..new_user("alice") };
    let changed = world.store.put_user(changed).await.expect("an update");
    assert_eq!(changed.email, "new@example.com");
    assert_eq!((changed.date_joined, &changed.password_hash), (added.date_joined, &added.password_hash));
    assert_eq!(world.store.user("alice").await.expect("an answer"), Some(changed));
}

#[tokio::test]
async fn rights_and_password_of_a_user_that_is_there_stay() {
    let world = World::new().await;
    let admin = world.store.add_user(new_user("admin"), AddCondition::OnlyAsFirst).await.expect("the first");

    let of_directory = store::NewUser { password_hash: "!".to_owned(), ..new_user("admin") };
    let put = world.store.put_user(of_directory).await.expect("an update");

    assert!(put.is_superuser);
    assert_eq!(put.password_hash, admin.password_hash);
}

#[tokio::test]
async fn several_first_logins_at_once_make_one_user() {
    let world = World::new().await;
    let logins = (0..8).map(|_| {
        let store = world.store.clone();
        tokio::spawn(async move { store.put_user(new_user("alice")).await })
    });

    for login in logins.collect::<Vec<_>>() {
        assert_eq!(login.await.expect("no panic").expect("a user").username, "alice");
    }
}
