//! `docs/install.md` as a reader follows it: its `sh` blocks are typed, word by word, into one shell.
//!
//! It installs under the names of the page, so there is one such test at a time on a cluster, and only on one without
//! an installation of the platform. `WORKFLOW_E2E_IMAGES` is the folder of the archives that
//! `cargo xtask images` writes, `WORKFLOW_E2E_TAG` the tag under which they were loaded on the nodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Ends processes that the page leaves running, and removes the installation where the page was not completed.
const CLEAN_UP: &str = r#"
ended() {
    code=$?
    trap - EXIT
    kill $(jobs -p) 2>/dev/null
    if [ $code -ne 0 ]; then
        kubectl --namespace deis get pods,events
        helm uninstall workflow --namespace deis
        kubectl delete namespace hello deis deis-builds --ignore-not-found --wait=false
    fi
    exit $code
}
trap ended EXIT
"#;
/// Waits for the app's first line in the log: a reader types the next command later than that.
const FIRST_LINE: &str =
    "timeout 30 bash -c 'until deis logs | grep --quiet hello.web; do sleep 0.2; done'\n";
const WAY_IN: &str = "curl --silent --output /dev/null --retry 60 --retry-delay 1 --retry-all-errors \
    http://127.0.0.1:8000/";

#[test]
fn a_trial_install_follows_the_page_word_by_word() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let page = fs::read_to_string(e2e::checkout().join("docs/install.md")).expect("the page is there");
    make_key(home.path());

    let output = Command::new("bash")
        .args(["-xeuo", "pipefail", "-c", &script(&page)])
        .current_dir(e2e::checkout())
        .env("HOME", home.path())
        .env("PATH", path_with(&programs()))
        .env("GIT_SSH_COMMAND", ssh(home.path()))
        .envs([("GIT_AUTHOR_NAME", "Reader"), ("GIT_AUTHOR_EMAIL", "reader@example.com")])
        .envs([("GIT_COMMITTER_NAME", "Reader"), ("GIT_COMMITTER_EMAIL", "reader@example.com")])
        .output()
        .expect("bash runs");

    let said = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("hello:v2 deployed to Workflow"), "{said}");
    assert!(said.contains("hello[web.v2."), "`deis logs` shows what the app said: {said}");
}

/// The blocks of the page, one after another.
fn script(page: &str) -> String {
    let mut script = CLEAN_UP.to_owned();
    for (kind, block) in blocks(page) {
        match kind {
            "sh" => script.push_str(&block),
            "sh background" => script.push_str(&format!("{} >/dev/null &\n{WAY_IN}\n", block.trim_end())),
            _ => {}
        }
    }
    let images = std::env::var("WORKFLOW_E2E_IMAGES");
    let images = images.unwrap_or_else(|_| programs().with_file_name("images").display().to_string());
    let tag = std::env::var("WORKFLOW_E2E_TAG").unwrap_or_else(|_| "latest".to_owned());
    let suffix = if tag == "latest" { String::new() } else { format!("-{tag}") };
    script
        .replace("deis logs\n", &format!("{FIRST_LINE}deis logs\n"))
        .replace("target/images/", &format!("{images}/"))
        .replace("mage.tag=latest", &format!("mage.tag={tag}"))
        .replace("stack-trixie", &format!("stack-trixie{suffix}"))
        .replace("deis/stack:trixie", &format!("deis/stack:trixie{suffix}"))
}

/// Info string and lines of each fenced block.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```");
            blocks.push((kind, block.map(|line| format!("{line}\n")).collect()));
        }
    }
    blocks
}

fn make_key(home: &Path) {
    fs::create_dir(home.join(".ssh")).expect("the folder is new");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(home.join(".ssh/id_ed25519"))
        .status();
    assert!(made.expect("ssh-keygen runs").success());
}

/// ssh with keys of this folder: by itself it uses the home folder of the account, not `HOME`.
fn ssh(home: &Path) -> String {
    let ssh = home.join(".ssh").display().to_string();
    format!(
        "ssh -i {ssh}/id_ed25519 -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={ssh}/known_hosts"
    )
}

/// The folder of the built client.
fn programs() -> PathBuf {
    let client = std::env::var_os("DEIS_BIN").map(PathBuf::from);
    let folder = client.and_then(|client| client.parent().map(Path::to_owned));
    folder.unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        target.unwrap_or_else(|| e2e::checkout().join("target")).join("debug")
    })
}

fn path_with(folder: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).expect("no folder has a colon in its name")
}

#[test]
fn the_page_has_blocks_to_type_and_one_that_is_left_running() {
    let page = fs::read_to_string(e2e::checkout().join("docs/install.md")).expect("the page is there");

    let kinds: Vec<_> =
        blocks(&page).into_iter().map(|(kind, _)| kind).filter(|kind| !kind.is_empty()).collect();

    assert!(kinds.len() >= 6, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "sh background").count(), 1);
    assert!(kinds.iter().all(|kind| ["sh", "sh background"].contains(kind)), "{kinds:?}");
}
