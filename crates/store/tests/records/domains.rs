//! Domains: the first claim has the name.

use store::{DomainRecord, NewDomain, PageRange, StoreError};

use crate::changes::app;
use crate::{Timestamp, World};

async fn claim(world: &World, name: &str, domain: &str) -> Result<DomainRecord, StoreError> {
    let new = NewDomain {
        domain: domain.to_owned(),
        app: app(name),
        owner: "alice".to_owned(),
        now: Timestamp::now(),
    };
    world.store.add_domain(new, 100).await
}

#[tokio::test]
async fn a_domain_belongs_to_the_app_that_claimed_it_first() {
    let world = World::new().await;
    world.user("alice").await;
    for name in ["blog", "shop"] {
        world.app(name, "alice").await;
    }

    let first = claim(&world, "blog", "www.example.com").await.expect("a free domain");

    for name in ["blog", "shop"] {
        let taken = claim(&world, name, "www.example.com").await;
        assert!(matches!(taken, Err(StoreError::Conflict { what }) if what == "domain"), "{name}");
    }
    assert!(claim(&world, "blog", "shop").await.is_err(), "the name of another app is taken");
    assert_eq!(world.store.domain("www.example.com").await.expect("an answer"), Some(first));
    let listed = world.store.domains(&app("blog"), PageRange::ALL).await.expect("a list");
    let names: Vec<_> = listed.rows.iter().map(|domain| domain.domain.as_str()).collect();
    assert_eq!((listed.count, names), (2, vec!["blog", "www.example.com"]));
}

#[tokio::test]
async fn only_its_app_can_give_a_domain_up() {
    let world = World::new().await;
    world.user("alice").await;
    for name in ["blog", "shop"] {
        world.app(name, "alice").await;
    }

    assert!(!world.store.remove_domain(&app("shop"), "blog").await.expect("an answer"));
    assert!(world.store.remove_domain(&app("blog"), "blog").await.expect("an answer"));
    assert!(!world.store.remove_domain(&app("blog"), "blog").await.expect("an answer"));
}
