//! A layer of the files that Debian packages add to the layers below it.
//!
//! apt installs them in a container of these layers, on the host's network as mmdebstrap uses it. Docker says which
//! files are new; caches, logs and other traces of the installation stay out, and what was written during it has no
//! time, so that the same packages give the same bytes. Removals of files below are not recorded.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use super::archive::Start;
use super::base::{self, EXCLUDED, PROXY_VARIABLES};
use super::{Cached, Image, Layer, LayerStore};
use crate::progress;

/// Part of dpkg's database that a layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// All of it, and the accounts that packages made: one layer of an image may.
    Database,
    /// A file for each of its packages in `/var/lib/dpkg/status.d`, which scanners of packages read: such layers lie on one
    /// another in any order.
    Files,
}

/// Files of packages that no build needs: OpenSSL to link statically, and the libraries of the compiler's sanitizers.
const UNUSED: &[&str] = &[
    "/usr/lib/*/libcrypto.a",
    "/usr/lib/*/libssl.a",
    "/usr/lib/*/libasan.so*",
    "/usr/lib/*/libhwasan.so*",
    "/usr/lib/*/liblsan.so*",
    "/usr/lib/*/libtsan.so*",
    "/usr/lib/*/libubsan.so*",
];
/// Traces of an installation.
const TRACES: &[&str] = &[
    "dev",
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/hosts",
    "etc/ld.so.cache",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/share/man",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg/available",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/dpkg/triggers",
    "var/lib/dpkg/updates",
    "var/log",
];
/// Files that one layer would overwrite with its view of all packages and accounts.
const SHARED: &[&str] = &["etc/group", "etc/gshadow", "etc/passwd", "etc/shadow", "etc/subgid", "etc/subuid"];
const DATABASE: &str = "var/lib/dpkg";
const STATUS_FILES: &str = "var/lib/dpkg/status.d";

/// Finds the layer of these packages in `cache` or makes it; all layers of a release of Debian share their downloads.
pub fn ensure(
    packages: &[&str],
    below: &[&Layer],
    keeps: Keeps,
    downloads: &Cached,
    cache: &Path,
) -> anyhow::Result<Layer> {
    let inputs = format!(
        "{packages:?}\n{keeps:?}\n{EXCLUDED:?}\n{UNUSED:?}\n{TRACES:?}\n{SHARED:?}\n{INSTALL}\n{:?}",
        below.iter().map(|layer| &layer.digest).collect::<Vec<_>>()
    );
    let key = base::key_of(&inputs);
    let store = LayerStore::new(cache, "added", &key);
    store.ensure(|target| {
        let title = format!("Install {} into a layer", packages.join(" "));
        // apt itself lets only one at a time use a folder of downloads.
        progress::step(&title, || {
            downloads.locked(|downloads| make(packages, below, keeps, downloads, target))
        })
    })
}

fn make(
    packages: &[&str],
    below: &[&Layer],
    keeps: Keeps,
    downloads: &Path,
    target: &Path,
) -> anyhow::Result<()> {
    let id = std::process::id();
    let (image, container) = (format!("deis-layer:{id}"), format!("deis-layer-{id}"));
    load(below, &image)?;
    let made = install(&container, &image, packages, downloads);
    let made = made.and_then(|began| take(&container, keeps, began, target));
    let removed = progress::output(Command::new("docker").args(["rm", "--force", &container]));
    let forgotten = progress::output(Command::new("docker").args(["image", "rm", &image]));
    made.and(removed.and(forgotten).map(drop))
}

/// Brings the layers into Docker as an image.
fn load(below: &[&Layer], name: &str) -> anyhow::Result<()> {
    let start = Start { user: "0:0", env: Vec::new(), entrypoint: "/bin/sh", folder: "/" };
    let layers =
        below.iter().map(|layer| layer.try_clone().map(Arc::new)).collect::<anyhow::Result<Vec<_>>>()?;
    let image = Image::new(name.to_owned(), start, layers);
    crate::stack::load(&image, &image.layers)
}

/// Writes the description of each package that was not there before to a file of its own. Packages of a layer below that
/// are described in that way are made known to dpkg before.
const INSTALL: &str = "set -e
export DEBIAN_FRONTEND=noninteractive
for line in $EXCLUDES; do echo \"path-exclude=$line\"; done >/etc/dpkg/dpkg.cfg.d/stack
set +f
echo 'path-include=/usr/share/doc/*/copyright' >>/etc/dpkg/dpkg.cfg.d/stack
# The links of alternatives to pages that are left out need their folders.
mkdir -p /usr/share/man/man{1..8}
dpkg-query --show --showformat '${Package}\\n' | sort >/tmp/before
for package in $(ls /var/lib/dpkg/status.d 2>/dev/null | grep -v '[.]md5sums$' | sort | comm -23 - /tmp/before); do
    echo | cat /var/lib/dpkg/status.d/$package - >>/var/lib/dpkg/status
    echo $package >>/tmp/before
done
sort -o /tmp/before /tmp/before
apt-get update --quiet=2
apt-get install --yes --quiet=2 --no-install-recommends -o Dpkg::Use-Pty=0 \\
    -o Dpkg::Options::=--force-unsafe-io \"$@\" >/tmp/output 2>&1 || { cat /tmp/output >&2; exit 1; }
apt-get autoclean --quiet=2 >/dev/null
rm /etc/dpkg/dpkg.cfg.d/stack
mkdir -p /var/lib/dpkg/status.d
dpkg-query --show --showformat '${Package}\\n' | sort >/tmp/after
for package in $(comm -13 /tmp/before /tmp/after); do
    dpkg-query --status \"$package\" >/var/lib/dpkg/status.d/$package
    cat /var/lib/dpkg/info/$package.md5sums /var/lib/dpkg/info/$package:*.md5sums 2>/dev/null \\
        >/var/lib/dpkg/status.d/$package.md5sums || true
done";

/// Runs the installation; returns when it began, in seconds since 1970.
fn install(container: &str, image: &str, packages: &[&str], downloads: &Path) -> anyhow::Result<u64> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let mut command = Command::new("docker");
    command.args(["run", "--name", container, "--network", "host", "--entrypoint", "/bin/bash"]);
    let excludes = [EXCLUDED, UNUSED].concat().join("\n");
    command.args(["--env", &format!("EXCLUDES={excludes}")]);
    for (kept, place) in [("archives", "/var/cache/apt/archives"), ("lists", "/var/lib/apt/lists")] {
        command.args(["--volume", &format!("{}:{place}", downloads.join(kept).display())]);
    }
    command.args(PROXY_VARIABLES.iter().flat_map(|name| ["--env", name]));
    // The shell must not expand the patterns of excluded files.
    command.args([image, "-fc", INSTALL, "install"]).args(packages);
    progress::run(&mut command)?;
    Ok(began)
}

/// Writes the new files of the container as a layer.
fn take(container: &str, keeps: Keeps, began: u64, target: &Path) -> anyhow::Result<()> {
    let changes = progress::output(Command::new("docker").args(["diff", container]))?;
    let new = new_paths(&changes, keeps);
    if new.is_empty() {
        bail!("the packages add no file; remove their list");
    }
    let mut docker = Command::new("docker")
        .args(["export", container])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run `docker export`")?;
    let exported = docker.stdout.take().expect("the pipe was asked for");
    let file = File::create(target).with_context(|| format!("cannot make {}", target.display()))?;
    let copied = copy(exported, &new, began, file);
    let status = docker.wait().context("`docker export` did not end")?;
    copied?;
    if !status.success() {
        bail!("`docker export` failed ({status})");
    }
    Ok(())
}

/// Paths without their first slash of what `docker diff` lists as added or changed and a layer keeps.
fn new_paths(changes: &str, keeps: Keeps) -> BTreeSet<PathBuf> {
    let changed = changes.lines().filter_map(|line| line.strip_prefix("A /").or(line.strip_prefix("C /")));
    changed.filter(|path| is_kept(Path::new(path), keeps)).map(PathBuf::from).collect()
}

fn is_kept(path: &Path, keeps: Keeps) -> bool {
    let is_in = |list: &[&str]| list.iter().any(|left_out| path.starts_with(left_out));
    let is_shared = is_in(SHARED) || path.starts_with(DATABASE) && !path.starts_with(STATUS_FILES);
    match keeps {
        Keeps::Database => !is_in(TRACES),
        Keeps::Files => !is_in(TRACES) && (!is_shared || path == Path::new(DATABASE)),
    }
}

/// Copies the wanted entries in their order, which is that of their names. Times since `began` are not kept.
fn copy(exported: impl Read, wanted: &BTreeSet<PathBuf>, began: u64, file: File) -> anyhow::Result<()> {
    let mut exported = tar::Archive::new(exported);
    let mut layer = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
    for entry in exported.entries()? {
        let mut entry = entry.context("cannot read what Docker exports")?;
        let path = entry.path()?.into_owned();
        if !wanted.contains(&path) {
            continue;
        }
        let mut header = tar::Header::new_gnu();
        let old = entry.header();
        header.set_entry_type(old.entry_type());
        header.set_mode(old.mode()? & 0o7777);
        header.set_uid(old.uid()?);
        header.set_gid(old.gid()?);
        // Compiled Python is valid for the time of its source only, so times of packages stay.
        header.set_mtime(Some(old.mtime()?).filter(|time| *time < began).unwrap_or_default());
        match entry.link_name()?.map(std::borrow::Cow::into_owned) {
            Some(link) => {
                header.set_size(0);
                layer.append_link(&mut header, &path, link)
            }
            None if old.entry_type().is_dir() => {
                header.set_size(0);
                layer.append_data(&mut header, &path, std::io::empty())
            }
            None => {
                header.set_size(old.entry_size()?);
                layer.append_data(&mut header, &path, &mut entry)
            }
        }
        .with_context(|| format!("cannot write {}", path.display()))?;
    }
    layer.into_inner()?.flush().context("cannot write the layer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_of_an_installation_and_shared_databases_stay_out_of_a_toolchain() {
        let changes = "C /usr\nA /usr/bin/ruby\nC /etc/passwd\nA /var/log/apt\nC /var/lib/dpkg\nC /var/lib/dpkg/status\n\
            A /var/lib/dpkg/status.d/ruby\nD /usr/bin/gone\nA /run/x\nC /etc/ld.so.cache\n";
        let paths = |keeps| {
            let new = new_paths(changes, keeps);
            new.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };

        let shared = "usr usr/bin/ruby var/lib/dpkg var/lib/dpkg/status.d/ruby";
        assert_eq!(paths(Keeps::Files), shared);
        assert_eq!(
            paths(Keeps::Database),
            "etc/passwd usr usr/bin/ruby var/lib/dpkg var/lib/dpkg/status var/lib/dpkg/status.d/ruby"
        );
    }

    #[test]
    fn a_layer_has_the_wanted_entries_and_times_of_packages_only() {
        let mut exported = tar::Builder::new(Vec::new());
        for (path, mtime) in [("usr/bin/old", 5), ("usr/bin/ruby", 100), ("usr/lib/made", 2_000)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(mtime);
            exported.append_data(&mut header, path, &b"ok"[..]).expect("memory takes it");
        }
        let exported = exported.into_inner().expect("memory takes it");
        let wanted = BTreeSet::from(["usr/bin/ruby", "usr/lib/made"].map(PathBuf::from));
        let path = std::env::temp_dir().join(format!("layer-{}.tar", std::process::id()));

        copy(&exported[..], &wanted, 1_000, File::create(&path).expect("a file")).expect("it is copied");

        let layer = std::fs::read(&path).expect("it was written");
        std::fs::remove_file(&path).expect("it is ours");
        let mut layer = tar::Archive::new(&layer[..]);
        let entries = layer.entries().expect("it is an archive").map(|entry| {
            let entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            (path, entry.header().mtime().expect("a time"))
        });
        let entries: Vec<_> = entries.collect();
        assert_eq!(entries, [("usr/bin/ruby".to_owned(), 100), ("usr/lib/made".to_owned(), 0)]);
    }
}
