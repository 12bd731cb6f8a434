//! Configs: what those of an app have in common is kept once, and all of it goes with the app.

use std::collections::BTreeMap;

use domain::config::{CONFIG_BYTES_MAX, Config};
use domain::sealing::SealingKey;
use jiff::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};
use store::{ChangeError, Store, StoreError};

use crate::changes::{app, build, built, configured};
use crate::{World, open};

/// Tables that have rows of apps.
const TABLES: [&str; 11] = [
    "releases",
    "deploys",
    "builds",
    "configs",
    "config_parts",
    "app_settings",
    "app_tls",
    "services",
    "collaborators",
    "auto_certs",
    "domains",
];

async fn raw(world: &World) -> AnyConnection {
    AnyConnection::connect(&world.database.url).await.expect("the database answers")
}

/// Runs a query that returns one number.
async fn number(world: &World, text: String) -> i64 {
    let row = sqlx::query(AssertSqlSafe(text)).fetch_one(&mut raw(world).await).await.expect("a row");
    row.try_get(0).expect("a number")
}

/// Bytes of all configs as they are kept.
async fn kept_bytes(world: &World) -> i64 {
    let size = |column: &str, table: &str| {
        format!("SELECT CAST(COALESCE(SUM(LENGTH({column})), 0) AS BIGINT) FROM {table}")
    };
    let mut bytes = 0;
    for (column, table) in [("sealed", "configs"), ("outline", "configs"), ("sealed", "config_parts")] {
        bytes += number(world, size(column, table)).await;
    }
    bytes
}

async fn set(world: &World, values: &BTreeMap<String, String>) {
    let body = serde_json::json!({ "values": values }).to_string();
    world.change("blog", "alice", configured(&body).change()).await;
}

async fn values(world: &World, version: u64) -> BTreeMap<String, String> {
    let content = world.store.release_content(&app("blog"), version).await.expect("an answer");
    content.expect("a release").config.config.values
}

/// As large as is allowed, in variables of this size.
fn large(value_bytes: usize) -> BTreeMap<String, String> {
    let count = (CONFIG_BYTES_MAX - 1_000) / (value_bytes + 8);
    (0..count).map(|number| (format!("VAR_{number:04}"), "x".repeat(value_bytes))).collect()
}

async fn blog() -> World {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    world
}

#[tokio::test]
async fn a_large_config_that_is_changed_often_is_kept_about_once() {
    for value_bytes in [64_000, 1_000, 50] {
        let world = blog().await;
        let mut wanted = large(value_bytes);
        set(&world, &wanted).await;
        let first_bytes = kept_bytes(&world).await;

        for number in 0..30 {
            wanted.insert("COLOR".to_owned(), format!("{}", number % 2));
            set(&world, &BTreeMap::from([("COLOR".to_owned(), wanted["COLOR"].clone())])).await;
        }

        let each_bytes = (kept_bytes(&world).await - first_bytes) / 30;
        assert!(each_bytes < 4_000, "{each_bytes} bytes for each change of {value_bytes}-byte variables");
        assert_eq!(values(&world, 32).await, wanted);
        wanted.insert("COLOR".to_owned(), "0".to_owned());
        assert_eq!(values(&world, 31).await, wanted);
        wanted.remove("COLOR");
        assert_eq!(values(&world, 2).await, wanted);
    }
}

#[tokio::test]
async fn a_config_over_the_bound_makes_no_release() {
    let world = blog().await;
    let mut values = large(1_000);
    set(&world, &values).await;

    values.insert("MORE".to_owned(), "x".repeat(2_000));
    let body = serde_json::json!({ "values": values }).to_string();
    let refused = world.try_change("blog", "alice", configured(&body).change()).await;

    assert!(matches!(refused, Err(ChangeError::Release(_))), "{refused:?}");
    assert_eq!(world.store.current_release(&app("blog")).await.expect("a release").version, 2);
}

#[tokio::test]
async fn a_part_that_was_moved_or_is_missing_is_damage_and_never_another_config() {
    let world = blog().await;
    set(&world, &large(1_000)).await;
    let mut raw = raw(&world).await;
    let names = sqlx::query("SELECT id, sealed FROM config_parts ORDER BY id").fetch_all(&mut raw).await;
    let names = names.expect("rows");
    let (one, other): (String, String) = (names[0].get("id"), names[1].get("sealed"));

    let moved = sqlx::query("UPDATE config_parts SET sealed = $1 WHERE id = $2").bind(other).bind(&one);
    moved.execute(&mut raw).await.expect("moved");
    let refused = world.store.current_config(&app("blog")).await.expect_err("one part is at two places");
    let removed = sqlx::query("DELETE FROM config_parts WHERE id = $1").bind(&one);
    removed.execute(&mut raw).await.expect("removed");
    let missing = world.store.current_config(&app("blog")).await.expect_err("a part is missing");

    for refused in [refused, missing] {
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
    }
}

/// Writes the app's newest config back in the form of older versions, in as many rows as there are releases.
async fn make_old(world: &World) -> Config {
    let config = world.store.current_config(&app("blog")).await.expect("a config").config;
    let json = serde_json::to_vec(&config).expect("JSON");
    let sealed = SealingKey::new(&[7; 32]).seal("config blog", &json, [1; 24]);
    let mut raw = raw(world).await;
    let old = sqlx::query("UPDATE configs SET sealed = $1, outline = NULL WHERE app = 'blog'").bind(sealed);
    old.execute(&mut raw).await.expect("written");
    sqlx::query("DELETE FROM config_parts").execute(&mut raw).await.expect("removed");
    config
}

async fn tidy(store: &Store) -> (u64, u64, u64) {
    let mut tidying = store.tidying();
    while tidying.step().await.expect("a step") {}
    (tidying.removed, tidying.shared, tidying.unopened)
}

#[tokio::test]
async fn configs_of_older_versions_are_read_as_ever_and_share_what_they_have_in_common_once_tidied() {
    let world = blog().await;
    set(&world, &large(1_000)).await;
    for number in 0..20 {
        set(&world, &BTreeMap::from([("COLOR".to_owned(), number.to_string())])).await;
    }
    let config = make_old(&world).await;
    let before_bytes = kept_bytes(&world).await;
    assert_eq!(world.store.current_config(&app("blog")).await.expect("a config").config, config);

    assert_eq!(tidy(&world.store).await, (0, 22, 0));

    assert_eq!(tidy(&world.store).await, (0, 0, 0), "nothing is left to do");
    for version in [1, 2, 22] {
        assert_eq!(values(&world, version).await, config.values);
    }
    let after_bytes = kept_bytes(&world).await;
    assert!(after_bytes < before_bytes / 8, "{before_bytes} to {after_bytes} bytes");
}

#[tokio::test]
async fn a_config_that_no_key_opens_stays_as_it_is() {
    let world = blog().await;
    make_old(&world).await;
    let stranger = Store::open(&world.database.url, SealingKey::new(&[9; 32])).await.expect("it opens");

    assert_eq!(tidy(&stranger).await, (0, 0, 1));

    world.store.current_config(&app("blog")).await.expect("our key still opens it");
}

#[tokio::test]
async fn no_row_is_left_of_an_app_that_is_gone_and_its_room_is_given_back() {
    let world = blog().await;
    world.app("shop", "alice").await;
    // More than one batch, each of its own, and too large to be shared.
    for number in 0..120 {
        let values = (0..30).map(|name| (format!("VAR_{name}"), format!("{number}").repeat(700))).collect();
        set(&world, &values).await;
    }
    world.change("blog", "alice", built(build("web"))).await;
    world.store.add_collaborator(&app("blog"), "alice", Timestamp::now()).await.expect("granted");
    world.store.want_auto_certs(&app("blog"), true, Timestamp::now()).await.expect("wanted");
    let pages = async || match world.database.url.starts_with("sqlite") {
        true => number(&world, "PRAGMA page_count".to_owned()).await,
        false => 0,
    };
    let before_pages = pages().await;

    world.store.remove_app(&app("blog"), Timestamp::now()).await.expect("recorded");
    world.store.forget_app(&app("blog")).await.expect("forgotten");
    world.store.give_back_room().await.expect("given back");

    for table in TABLES {
        let left = number(&world, format!("SELECT COUNT(*) FROM {table} WHERE app = 'blog'")).await;
        assert_eq!(left, 0, "{table}");
    }
    assert!(world.store.current_config(&app("shop")).await.is_ok(), "another app keeps all that it has");
    let after_pages = pages().await;
    assert!(before_pages == 0 || after_pages < before_pages / 2, "{before_pages} to {after_pages} pages");
}

#[tokio::test]
async fn rows_that_were_left_of_apps_long_gone_are_removed() {
    let world = blog().await;
    world.app("shop", "alice").await;
    world.change("blog", "alice", built(build("web"))).await;
    if !world.database.url.starts_with("sqlite") {
        // PostgreSQL lets nobody but its superuser leave such rows.
        return;
    }
    let mut raw = raw(&world).await;
    for statement in ["PRAGMA foreign_keys = OFF", "DELETE FROM apps WHERE id = 'blog'"] {
        sqlx::query(statement).execute(&mut raw).await.expect("done by hand");
    }

    let (removed, _, _) = tidy(&world.store).await;

    assert!(removed >= 6, "{removed}");
    for table in TABLES {
        let left = number(&world, format!("SELECT COUNT(*) FROM {table} WHERE app = 'blog'")).await;
        assert_eq!(left, 0, "{table}");
    }
    let again = open(&world.database.url).await;
    assert!(again.current_config(&app("shop")).await.is_ok());
}
