//! A database that fails: what was answered as done stays, what failed is told, and it heals by itself.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{AnyConnection, Connection as _};
use store::{DatabaseError, PageRange, Store, StoreError, UserRecord};
use testkit::wait_until;

use crate::disk::SmallDisk;
use crate::{AddCondition, World, new_user, open};

const HEAL_MAX: Duration = Duration::from_secs(20);

fn url(folder: &Path) -> String {
    format!("sqlite://{}/workflow.db", folder.display())
}

pub async fn add(store: &Store, name: &str) -> Result<UserRecord, StoreError> {
    store.add_user(new_user(name), AddCondition::Anyhow).await
}

fn database_error(refused: &StoreError) -> DatabaseError {
    match refused {
        StoreError::Unreachable { failure, .. } => *failure,
        other => panic!("{other:?}"),
    }
}

pub async fn names(store: &Store) -> Vec<String> {
    let users = store.users(PageRange::ALL).await.expect("a list");
    sorted(&users.rows.into_iter().map(|user| user.username).collect::<Vec<_>>())
}

/// Waits until the database is proven to take writes.
pub async fn healed(store: &Store) {
    wait_until("the database heals by itself", HEAL_MAX, async || store.prove_write().await).await;
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing_and_writes_go_on_once_there_is_room() {
    let Some(disk) = SmallDisk::new(4 << 10) else { return };
    let store = open(&url(disk.path())).await;
    let mut done = Vec::new();

    // The disk is full at another moment of a write each time.
    for left_kib in (0..=48).step_by(4) {
        disk.fill(left_kib << 10);
        let mut refused = 0;
        for number in 0..30 {
            let name = format!("user-{left_kib}-{number}");
            match add(&store, &name).await {
                Ok(_) => done.push(name),
                Err(error) => {
                    assert_eq!(database_error(&error), DatabaseError::Full, "{error:?}");
                    assert!(error.can_be_retried());
                    refused += 1;
                }
            }
        }
        assert!(refused > 0, "with {left_kib} KiB left the disk was never full");
        assert_eq!(names(&store).await, sorted(&done), "what is read is what was answered as done");

        disk.free();

        let name = format!("after-{left_kib}");
        add(&store, &name).await.expect("the next write is taken as soon as there is room");
        done.push(name);
    }

    drop(store);
    let again = open(&url(disk.path())).await;
    assert_eq!(names(&again).await, sorted(&done));
}

pub fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names
}

#[tokio::test]
async fn a_full_disk_is_not_ready_and_ready_again_once_there_is_room() {
    let Some(disk) = SmallDisk::new(4 << 10) else { return };
    let store = open(&url(disk.path())).await;
    store.prove_write().await.expect("there is room");
    disk.fill(0);
    let mut number = 0;
    while add(&store, &format!("user-{number}")).await.is_ok() {
        number += 1;
    }

    let is_full = async || store.prove_write().await.is_err();
    wait_until("readiness tells of a full disk", HEAL_MAX, is_full).await;
    disk.free();

    healed(&store).await;
    add(&store, "after").await.expect("a write");
}

#[tokio::test]
async fn a_disk_that_is_full_while_the_database_is_made_is_waited_for() {
    let Some(disk) = SmallDisk::new(4 << 10) else { return };
    let open_it = async || {
        let sealing = domain::sealing::SealingKey::new(&[7; 32]);
        Store::open(&url(disk.path()), sealing).await
    };

    for left_kib in (0..=256).step_by(32) {
        disk.fill(left_kib << 10);
        if let Err(refused) = open_it().await {
            assert!(refused.can_be_retried(), "with {left_kib} KiB left: {refused:?}");
        }
        disk.free();
    }

    let store = open_it().await.expect("there is room");
    add(&store, "alice").await.expect("a write");
}

#[tokio::test]
async fn proofs_of_writing_are_as_many_as_seconds_pass_however_many_ask() {
    let world = World::new().await;
    let mut raw = AnyConnection::connect(&world.database.url).await.expect("the database answers");
    let mut seen = std::collections::BTreeSet::new();

    for _ in 0..50 {
        world.store.prove_write().await.expect("proven");
        let found = sqlx::query_scalar::<_, String>("SELECT value FROM meta WHERE name = 'written'");
        seen.insert(found.fetch_one(&mut raw).await.expect("it was written"));
    }

    assert!(seen.len() < 10, "{} writes", seen.len());
}

#[tokio::test]
async fn a_write_that_is_dropped_in_the_middle_holds_up_no_other() {
    let world = World::new().await;

    for number in 0..60 {
        let name = format!("user-{number}");
        let adding = add(&world.store, &name);
        let _ = tokio::time::timeout(Duration::from_micros(number * 100), adding).await;
        let next = tokio::time::timeout(HEAL_MAX, add(&world.store, &format!("next-{number}"))).await;
        next.expect("in time").expect("the next write is taken");
    }
}

#[tokio::test]
async fn a_lock_that_another_process_holds_is_not_ready_and_writes_go_on_after_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&url(folder.path())).await;
    let mut other = AnyConnection::connect(&url(folder.path())).await.expect("the file opens");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("the lock");

    store.prove_write().await.expect_err("another process has the lock");
    let refused = add(&store, "alice").await.expect_err("the same");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("given back");

    assert_eq!(database_error(&refused), DatabaseError::Locked);
    add(&store, "alice").await.expect("the lock is free");
    healed(&store).await;
}

#[tokio::test]
async fn a_file_that_was_removed_or_replaced_takes_no_writes_until_it_is_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&url(folder.path())).await;
    add(&store, "alice").await.expect("a write");
    let (file, elsewhere) = (folder.path().join("workflow.db"), folder.path().join("elsewhere"));

    std::fs::rename(&file, &elsewhere).expect("moved");
    let removed = add(&store, "bob").await.expect_err("nobody would find it again");
    std::fs::write(&file, "").expect("another file");
    let replaced = add(&store, "bob").await.expect_err("the same");
    std::fs::rename(&elsewhere, &file).expect("put back");

    assert_eq!([database_error(&removed), database_error(&replaced)], [DatabaseError::Moved; 2]);
    add(&store, "bob").await.expect("the file is back");
    assert_eq!(names(&store).await, ["alice", "bob"]);
}

#[tokio::test]
async fn a_read_only_file_system_is_waited_for() {
    let Some(disk) = SmallDisk::new(4 << 10) else { return };
    let store = open(&url(disk.path())).await;
    add(&store, "alice").await.expect("a write");
    store.close().await;
    drop(store);
    disk.set_read_only(true);

    let sealing = domain::sealing::SealingKey::new(&[7; 32]);
    let refused = Store::open(&url(disk.path()), sealing).await.err().expect("nothing can be written");
    disk.set_read_only(false);

    assert!(refused.can_be_retried(), "{refused:?}");
    assert_eq!(names(&open(&url(disk.path())).await).await, ["alice"]);
}

#[tokio::test]
async fn the_journal_of_a_busy_database_stays_small() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&url(folder.path())).await;
    add(&store, "alice").await.expect("a write");

    for number in 0..600 {
        store.add_token("alice", &format!("{number:064}"), Timestamp::now()).await.expect("a token");
    }

    let journal = std::fs::metadata(folder.path().join("workflow.db-wal")).expect("a journal").len();
    assert!(journal < 6 << 20, "{journal} bytes");
}
