//! `workflow keys`: the real program, killed in the middle.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use domain::AppName;
use domain::config::{Config, ConfigPatch, Texts};
use domain::sealing::SealingKeys;
use domain::stacks::StackName;
use domain::users::AddCondition;
use jiff::Timestamp;
use store::{NewApp, NewUser, ReleaseChange, Store};

/// Enough for several batches.
const RELEASES: usize = 450;

fn app() -> AppName {
    AppName::parse("blog").expect("a good name")
}

fn keys_in(folder: &Path) -> (String, SealingKeys) {
    let text = std::fs::read_to_string(folder.join("sealing-key")).expect("a file of keys");
    let keys = SealingKeys::parse(&text).expect("good keys");
    (text, keys)
}

async fn open(folder: &Path, keys: SealingKeys) -> Store {
    let url = format!("sqlite://{}", folder.join("workflow.db").display());
    Store::open(&url, keys).await.expect("the store opens")
}

/// A data folder as a platform that was stopped leaves it, with many secrets.
async fn stopped_platform(folder: &Path) {
    std::fs::write(folder.join("sealing-key"), "07".repeat(32)).expect("a key");
    let store = open(folder, keys_in(folder).1).await;
    let now = Timestamp::now();
    let user = NewUser::named("alice", "hash", now);
    store.add_user(user, AddCondition::Anyhow).await.expect("a new user");
    let new = NewApp {
        id: app(),
        owner: "alice".to_owned(),
        config: Config::default(),
        stack: StackName::bookworm(),
        now,
    };
    store.create_app(new).await.expect("a new app");
    for number in 0..RELEASES {
        let body = serde_json::json!({"values": {"SECRET": format!("planted-{number}")}});
        let patch = ConfigPatch::parse(body.as_object().expect("an object")).expect("a good patch");
        let change = ReleaseChange::Configured { patch: &patch, default_tags: &Texts::new() };
        store.add_release(&app(), "alice", change, now).await.expect("a release");
    }
    store.close().await;
}

fn rotate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workflow"));
    command.args(["keys", "rotate", "--data-dir"]).arg(folder).env_remove("WORKFLOW_DATABASE_URL");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Kills a rotation as soon as it has said so many lines.
fn killed_after(folder: &Path, lines: usize) -> Vec<String> {
    let mut child = rotate(folder).spawn().expect("the program starts");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let said: Vec<_> = stdout.lines().map_while(Result::ok).take(lines).collect();
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    said
}

#[tokio::test]
async fn a_rotation_that_is_killed_again_and_again_loses_nothing_and_ends_with_one_new_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    stopped_platform(folder).await;
    let (first, first_keys) = keys_in(folder);

    let mut newest = Vec::new();
    for lines in [1, 2, 3] {
        let said = killed_after(folder, lines);
        assert_eq!(said.len(), lines, "{said:?}");
        let (_, keys) = keys_in(folder);
        newest.push(keys.newest_id().to_owned());
        assert_eq!(keys.older_ids().collect::<Vec<_>>(), [first_keys.newest_id()]);
        let store = open(folder, keys).await;
        let config = store.current_config(&app()).await.expect("it can be read all the time").config;
        assert_eq!(config.values["SECRET"], format!("planted-{}", RELEASES - 1));
        store.close().await;
    }
    let ended = rotate(folder).output().expect("the program runs");

    let said = String::from_utf8(ended.stdout).expect("text") + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    assert!(!said.contains("planted"));
    newest.dedup();
    let (text, keys) = keys_in(folder);
    assert_eq!((newest, keys.older_ids().count()), (vec![keys.newest_id().to_owned()], 0));
    assert!(!text.contains(first.trim()));
    let store = open(folder, keys).await;
    assert_eq!(store.sealed_with_older_keys().await.expect("a count"), 0);
    let config = store.current_config(&app()).await.expect("it opens").config;
    assert_eq!(config.values["SECRET"], format!("planted-{}", RELEASES - 1));
}

#[tokio::test]
async fn records_of_a_lost_key_are_named_and_the_keys_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    stopped_platform(folder).await;
    std::fs::write(folder.join("sealing-key"), "09".repeat(32)).expect("another key");

    let ended = rotate(folder).output().expect("the program runs");

    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("such as outline of config blog"), "{said}");
    assert_eq!(keys_in(folder).1.older_ids().count(), 1);
}
