//! Rotation of the sealing key: broken off anywhere it can be gone on with, and nothing is lost.

use domain::config::{Config, ConfigPatch, Texts};
use domain::sealing::{SealingKey, SealingKeys};
use jiff::Timestamp;
use sqlx::{AnyConnection, Connection as _, Row as _};
use store::{AutoOrder, NewDomain, ReleaseChange, Store};

use crate::certs::{KEY, new_cert};
use crate::changes::app;
use crate::{TestDatabase, World};

/// More than a few batches.
const CONFIGS: usize = 250;
/// A certificate authority.
const CA: &str = "https://ca.example.com/directory";

fn old() -> SealingKeys {
    SealingKey::new(&[7; 32]).into()
}

fn new() -> SealingKeys {
    SealingKey::new(&[8; 32]).into()
}

/// The new key seals, the old one still opens.
fn both() -> SealingKeys {
    SealingKeys::parse(&format!("{}\n{}\n", "08".repeat(32), "07".repeat(32))).expect("two keys")
}

async fn opened(database: &TestDatabase, keys: SealingKeys) -> Store {
    Store::open(&database.url, keys).await.expect("the store opens")
}

/// A world with many configs and a certificate, sealed with the old key.
async fn sealed_world() -> World {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    for number in 1..CONFIGS {
        let body = serde_json::json!({"values": {"NUMBER": number.to_string()}});
        let patch = ConfigPatch::parse(body.as_object().expect("an object")).expect("a good patch");
        let change = ReleaseChange::Configured { patch: &patch, default_tags: &Texts::new() };
        world.store.add_release(&app("blog"), "alice", change, Timestamp::now()).await.expect("a release");
    }
    let domain = NewDomain {
        domain: "www.foo.com".to_owned(),
        app: app("blog"),
        owner: "alice".to_owned(),
        now: Timestamp::now(),
    };
    world.store.add_domain(domain, 100).await.expect("a free domain");
    world.store.add_cert(new_cert("foo")).await.expect("a new certificate");
    world.store.attach_cert("foo", "www.foo.com", Timestamp::now()).await.expect("attached");
    world.store.want_auto_certs(&app("blog"), true, Timestamp::now()).await.expect("an answer");
    let order = AutoOrder { key: Some(KEY.to_owned()), ..AutoOrder::default() };
    world.store.record_auto_order("www.foo.com", CA, &order, Timestamp::now()).await.expect("recorded");
    world.store.acme_account_key(CA, KEY, Timestamp::now()).await.expect("a key");
    world
}

/// The config and the private keys, as long as they can be opened.
async fn secrets(store: &Store) -> Option<(Config, String)> {
    let config = store.current_config(&app("blog")).await.ok()?.config;
    let attached = store.attached_certs(&app("blog")).await.ok()?.pop()?;
    let ordered = store.auto_order("www.foo.com", CA).await.ok()?.key?;
    let account = store.acme_account_key(CA, "", Timestamp::now()).await.ok()?;
    assert_eq!((ordered.as_str(), account.as_str()), (KEY, KEY));
    Some((config, attached.pair.key.clone()))
}

/// Ids of the keys that configs are sealed with.
async fn key_ids(database: &TestDatabase) -> Vec<String> {
    let mut raw = AnyConnection::connect(&database.url).await.expect("the database answers");
    let rows = sqlx::query("SELECT outline FROM configs").fetch_all(&mut raw).await.expect("rows");
    let id = |sealed: String| sealed.split(':').nth(1).expect("an id").to_owned();
    let mut ids: Vec<_> = rows.iter().map(|row| id(row.try_get("outline").expect("a text"))).collect();
    assert_eq!(ids.len(), CONFIGS);
    ids.sort();
    ids.dedup();
    ids
}

#[tokio::test]
async fn a_rotation_that_is_broken_off_is_gone_on_with_and_the_old_key_can_then_go() {
    let world = sealed_world().await;
    let before = secrets(&world.store).await.expect("the old key opens");
    assert_eq!((before.0.values["NUMBER"].as_str(), before.1.as_str()), ("249", KEY));

    // Killed after one batch: what is done stays done, and all can still be read.
    let rotating = opened(&world.database, both()).await;
    assert!(rotating.resealing().step().await.expect("a batch"));
    drop(rotating);
    assert_eq!(key_ids(&world.database).await.len(), 2);
    let again = opened(&world.database, both()).await;
    assert_eq!(again.sealed_with_older_keys().await.expect("a count"), 153);
    assert_eq!(secrets(&again).await.as_ref(), Some(&before));

    let mut resealing = again.resealing();
    while resealing.step().await.expect("a batch") {}

    assert_eq!((resealing.done, resealing.unopened.len()), (153, 0));
    assert_eq!(again.sealed_with_older_keys().await.expect("a count"), 0);
    assert_eq!(key_ids(&world.database).await, [new().newest_id()]);
    let alone = opened(&world.database, new()).await;
    assert_eq!(secrets(&alone).await, Some(before));
    assert_eq!(secrets(&opened(&world.database, old()).await).await, None);
}

#[tokio::test]
async fn what_no_key_opens_is_named_and_left_and_does_not_hold_up_the_rest() {
    let world = sealed_world().await;
    let third = SealingKeys::from(SealingKey::new(&[9; 32]));
    let stranger = opened(&world.database, third).await;

    let mut resealing = stranger.resealing();
    while resealing.step().await.expect("a batch") {}

    assert_eq!((resealing.done, resealing.unopened.len()), (0, CONFIGS + 3));
    assert_eq!(resealing.unopened[CONFIGS], "certificate foo");
    assert_eq!(stranger.sealed_with_older_keys().await.expect("a count"), CONFIGS as u64 + 3);
    assert!(secrets(&world.store).await.is_some());
}
