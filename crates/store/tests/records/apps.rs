//! Apps: made whole, handed over, removed in two steps.

use store::{AppLock, NewDomain, PageRange, StoreError};

use crate::changes::{app, build, built, configured};
use crate::{Timestamp, World};

fn what(error: StoreError) -> String {
    match error {
        StoreError::Conflict { what } => what,
        other => panic!("{other} is no conflict"),
    }
}

#[tokio::test]
async fn an_app_comes_with_a_config_a_release_and_its_own_domain() {
    let world = World::new().await;
    world.user("alice").await;

    let created = world.app("blog", "alice").await;

    let release = world.store.current_release(&app("blog")).await.expect("a release");
    assert_eq!(release, created.release);
    assert_eq!((release.version, release.summary.as_str()), (1, "alice created initial release"));
    assert_eq!((release.failed, &release.build), (false, &None));
    assert_eq!(world.store.current_config(&app("blog")).await.expect("a config"), created.config);
    assert_eq!(world.store.domain("blog").await.expect("an answer"), Some(created.domain));
    assert_eq!(world.store.structure(&app("blog")).await.expect("an answer"), Default::default());
}

#[tokio::test]
async fn a_name_is_had_once_and_not_by_one_who_comes_after_a_domain() {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    let domain = "shop".to_owned();
    let claim = NewDomain { domain, app: app("blog"), owner: "alice".to_owned(), now: Timestamp::now() };
    world.store.add_domain(claim, 100).await.expect("a free domain");

    assert_eq!(what(world.try_app("blog", "alice").await.expect_err("taken")), "id");
    assert_eq!(what(world.try_app("shop", "alice").await.expect_err("taken")), "domain");
    assert_eq!(world.store.app(&app("shop")).await.expect("an answer"), None);
}

#[tokio::test]
async fn a_user_sees_own_and_shared_apps_and_an_administrator_all() {
    let world = World::new().await;
    for name in ["alice", "bob"] {
        world.user(name).await;
    }
    for (name, owner) in [("c", "alice"), ("a", "alice"), ("b", "bob")] {
        world.app(name, owner).await;
    }
    world.store.add_collaborator(&app("a"), "bob", Timestamp::now()).await.expect("granted");
    let names = async |user: &str, is_admin| {
        let listed =
            world.store.apps_of(user, is_admin, PageRange { limit: 2, offset: 0 }).await.expect("a list");
        let names: Vec<_> = listed.rows.iter().map(|(app, _)| app.id.to_string()).collect();
        (listed.count, names.join(" "))
    };

    assert_eq!(names("bob", false).await, (2, "a b".to_owned()));
    assert_eq!(names("alice", false).await, (2, "a c".to_owned()));
    assert_eq!(names("alice", true).await, (3, "a b".to_owned()));
}

#[tokio::test]
async fn a_transfer_moves_the_old_owners_rows_and_leaves_those_of_others() {
    let world = World::new().await;
    for name in ["alice", "bob", "carol"] {
        world.user(name).await;
    }
    world.app("blog", "alice").await;
    world.change("blog", "carol", configured(r#"{"values":{"A":"1"}}"#).change()).await;

    world.store.transfer_app(&app("blog"), "bob", Timestamp::now()).await.expect("handed over");

    let releases = world.store.releases(&app("blog"), PageRange::ALL).await.expect("a list").rows;
    let owners: Vec<_> = releases.iter().map(|release| release.owner.as_str()).collect();
    assert_eq!(owners, ["carol", "bob"]);
    assert_eq!(world.store.app_owner(&app("blog")).await.expect("an answer").as_deref(), Some("bob"));
    assert_eq!(world.store.domain("blog").await.expect("an answer").expect("a domain").owner, "bob");
    let nobody = world.store.transfer_app(&app("blog"), "nobody", Timestamp::now()).await;
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn an_app_that_is_being_removed_takes_no_more_changes_and_is_then_forgotten() {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    world.change("blog", "alice", built(build("web"))).await;

    world.store.forget_app(&app("blog")).await.expect("nothing to forget yet");
    assert!(world.store.app(&app("blog")).await.expect("an answer").is_some());
    world.store.remove_app(&app("blog"), Timestamp::now()).await.expect("recorded");

    assert_eq!(world.store.apps_of("alice", false, PageRange::ALL).await.expect("a list").count, 0);
    assert_eq!(world.store.apps_with_work().await.expect("a list"), [app("blog")]);
    assert!(world.try_change("blog", "alice", built(build("web"))).await.is_err());
    world.store.forget_app(&app("blog")).await.expect("forgotten");
    assert_eq!(world.store.app(&app("blog")).await.expect("an answer"), None);
    assert_eq!(world.store.apps_with_work().await.expect("a list"), []);
    world.app("blog", "alice").await;
    world.store.remove_user("alice").await.expect_err("alice owns the new app");
}

#[tokio::test]
async fn the_number_of_apps_follows_what_is_made_and_removed() {
    let world = World::new().await;
    world.user("alice").await;
    let count = async || {
        world.store.apps_of("alice", true, PageRange::ALL).await.map(|apps| (apps.count, apps.rows.len()))
    };
    let mut counts = vec![count().await.expect("a count")];

    for name in ["a", "b"] {
        world.app(name, "alice").await;
    }
    counts.push(count().await.expect("a count"));
    for _ in ["once", "and again"] {
        world.store.remove_app(&app("a"), Timestamp::now()).await.expect("recorded");
        counts.push(count().await.expect("a count"));
    }
    world.store.forget_app(&app("a")).await.expect("gone");
    world.app("a", "alice").await;
    counts.push(count().await.expect("a count"));

    assert_eq!(counts, [(0, 0), (2, 2), (1, 1), (1, 1), (2, 2)]);
}

#[tokio::test]
async fn a_lock_refuses_releases_scales_and_the_removal_and_names_itself() {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    let blog = app("blog");
    world.store.add_release(&blog, "alice", built(build("web")), Timestamp::now()).await.expect("a release");
    let since = "2026-01-02T03:04:05.678901234Z".parse().expect("a time");
    let lock = AppLock { user: "alice".to_owned(), since, reason: Some("audit".to_owned()) };

    let kept = world.store.lock_app(&blog, lock.clone()).await.expect("a lock");

    let record = world.store.app(&blog).await.expect("an answer").expect("a row");
    assert_eq!(record.lock.as_ref(), Some(&kept));
    let now = Timestamp::now();
    let refusals = [
        world
            .store
            .add_release(&blog, "alice", built(build("web")), now)
            .await
            .expect_err("locked")
            .to_string(),
        world.store.add_scale(&blog, &Default::default(), now).await.expect_err("locked").to_string(),
        world.store.remove_app(&blog, now).await.expect_err("locked").to_string(),
        world.store.lock_app(&blog, lock).await.expect_err("locked").to_string(),
        world.store.app_must_be_unlocked(&blog).await.expect_err("locked").to_string(),
    ];
    for refusal in refusals {
        let sentence =
            "blog is locked by alice since 2026-01-02T03:04:05Z: \"audit\"; unlock it with deis apps:unlock";
        assert_eq!(refusal, sentence);
    }
    assert!(world.store.unlock_app(&blog).await.expect("an answer"));
    assert!(!world.store.unlock_app(&blog).await.expect("an answer"));
    world.store.remove_app(&blog, now).await.expect("unlocked");
}
