//! Archives a folder that somebody hostile wrote.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::budget::Budget;
use super::layer_writer::{LayerWriter, Owner, ROOT};
use crate::failure::{LifecycleError, Result};
use crate::folder::{Facts, Folder, Kind};

/// Folders inside each other; each one is held open while those below it are read.
const DEPTH_MAX: usize = 200;

/// Chooses paths, relative to the tree's root, of files that belong into the archive.
pub trait Choice {
    /// The entry belongs to it; `is_below` says that its folder does.
    fn has(&mut self, path: &Path, is_folder: bool, is_below: bool) -> bool;
    /// Something below this folder may be chosen.
    fn may_have_below(&self, path: &Path) -> bool;
}

/// Chooses everything.
pub struct Everything;

impl Choice for Everything {
    fn has(&mut self, _: &Path, _: bool, _: bool) -> bool {
        true
    }

    fn may_have_below(&self, _: &Path) -> bool {
        true
    }
}

/// Archives trees into one layer.
pub struct TreeArchiver<'a> {
    pub layer: &'a mut LayerWriter,
    pub budget: &'a mut Budget,
    pub owner: Owner,
    /// First name of each file with several.
    links: HashMap<(u64, u64), PathBuf>,
    /// Sockets, which no image can hold.
    pub left_out: Vec<PathBuf>,
    /// Entries but for the folders above them.
    pub chosen: u64,
}

impl<'a> TreeArchiver<'a> {
    pub fn new(layer: &'a mut LayerWriter, budget: &'a mut Budget, owner: Owner) -> Self {
        Self { layer, budget, owner, links: HashMap::new(), left_out: Vec::new(), chosen: 0 }
    }

    /// Adds folders above a path, which belong to root.
    pub fn add_parents(&mut self, path: &Path) -> Result<()> {
        let mut parents: Vec<_> = path.ancestors().skip(1).filter(|it| it.parent().is_some()).collect();
        parents.reverse();
        for parent in parents {
            self.layer.folder(parent, 0o755, ROOT)?;
        }
        Ok(())
    }

    /// Adds what is chosen of a folder under this absolute path, and its folders above that.
    pub fn add(&mut self, folder: &Folder, to: &Path, choice: &mut dyn Choice) -> Result<()> {
        self.layer.folder(to, folder.own_facts()?.mode, self.owner)?;
        self.budget.take(0)?;
        self.add_below(folder, to, Path::new(""), false, choice, 0)
    }

    fn add_below(
        &mut self,
        folder: &Folder,
        to: &Path,
        place: &Path,
        is_chosen: bool,
        choice: &mut dyn Choice,
        depth: usize,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            let message = format!("{} has more than {DEPTH_MAX} folders above it", folder.path.display());
            return Err(LifecycleError::generic(message));
        }
        for name in folder.names()? {
            let path = place.join(&name);
            let facts = folder.facts(&name)?;
            let is_chosen = choice.has(&path, facts.kind == Kind::Folder, is_chosen);
            let is_above = facts.kind == Kind::Folder && choice.may_have_below(&path);
            if !is_chosen && !is_above {
                continue;
            }
            self.chosen += u64::from(is_chosen);
            self.add_entry(folder, &name, &to.join(&path), &facts)?;
            if facts.kind == Kind::Folder
                && let Some(below) = folder.folder(&name)?
            {
                self.add_below(&below, to, &path, is_chosen, choice, depth + 1)?;
            }
        }
        Ok(())
    }

    fn add_entry(&mut self, folder: &Folder, name: &OsStr, to: &Path, facts: &Facts) -> Result<()> {
        match facts.kind {
            Kind::Folder => {
                self.budget.take(0)?;
                self.layer.folder(to, facts.mode, self.owner)
            }
            Kind::Link => {
                self.budget.take(0)?;
                self.layer.symlink(to, Path::new(&folder.link_target(name)?), self.owner)
            }
            Kind::File => self.add_file(folder, name, to),
            Kind::Socket => {
                self.left_out.push(to.to_owned());
                Ok(())
            }
            Kind::Special => Err(LifecycleError::generic(format!(
                "{} is a FIFO or a device, which no layer can hold: remove it in the build",
                folder.path.join(name).display()
            ))),
        }
    }

    fn add_file(&mut self, folder: &Folder, name: &OsStr, to: &Path) -> Result<()> {
        // Facts of the open file: the entry may be another one by now.
        let Some((file, facts)) = folder.file(name)? else { return Ok(()) };
        if facts.links > 1 {
            if let Some(first) = self.links.get(&facts.identity) {
                self.budget.take(0)?;
                return self.layer.hard_link(to, first, self.owner);
            }
            self.links.insert(facts.identity, to.to_owned());
        }
        self.budget.take(facts.size)?;
        self.layer.file(to, facts.mode, self.owner, facts.size, file)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const OWNER: Owner = Owner { uid: 2000, gid: 2001 };

    fn archived(root: &Path, budget: Budget) -> Result<(PathBuf, String)> {
        let out = root.parent().expect("a folder").to_owned();
        let mut budget = budget;
        let mut layer = LayerWriter::begin(&out)?;
        let mut archiver = TreeArchiver::new(&mut layer, &mut budget, OWNER);
        archiver.add_parents(Path::new("/layers/a_b/node"))?;
        archiver.add(&Folder::open(root)?, Path::new("/layers/a_b/node"), &mut Everything)?;
        let written = layer.finish(|hex| out.join(hex))?;
        Ok((written.path, written.digest))
    }

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("node");
        fs::create_dir_all(root.join("bin")).expect("folders");
        fs::write(root.join("bin/node"), "program").expect("a file");
        fs::set_permissions(root.join("bin/node"), fs::Permissions::from_mode(0o6755)).expect("a mode");
        fs::hard_link(root.join("bin/node"), root.join("bin/nodejs")).expect("a hard link");
        symlink("../../../etc/passwd", root.join("link")).expect("a link");
        (dir, root)
    }

    fn listing(path: &Path) -> Vec<String> {
        let mut archive = tar::Archive::new(File::open(path).expect("a layer"));
        let entries = archive.entries().expect("entries").map(|entry| {
            let entry = entry.expect("an entry");
            let header = entry.header();
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let link = entry.link_name_bytes().map(|it| format!(" {}", String::from_utf8_lossy(&it)));
            let (mode, uid, gid) =
                (header.mode().expect("mode"), header.uid().expect("uid"), header.gid().expect("gid"));
            format!("{name} {mode:o} {uid}:{gid}{}", link.unwrap_or_default())
        });
        entries.collect()
    }

    #[test]
    fn paths_are_absolute_links_are_kept_and_setuid_is_dropped() {
        let (_dir, root) = tree();

        let (path, _) = archived(&root, Budget::default()).expect("a layer");

        assert_eq!(
            listing(&path),
            [
                "layers/ 755 0:0",
                "layers/a_b/ 755 0:0",
                "layers/a_b/node/ 755 2000:2001",
                "layers/a_b/node/bin/ 755 2000:2001",
                "layers/a_b/node/bin/node 755 2000:2001",
                "layers/a_b/node/bin/nodejs 777 2000:2001 layers/a_b/node/bin/node",
                "layers/a_b/node/link 777 2000:2001 ../../../etc/passwd",
            ]
        );
    }

    #[test]
    fn the_same_files_give_the_same_digest() {
        let ((_a, one), (_b, other)) = (tree(), tree());
        File::open(other.join("bin/node"))
            .and_then(|file| file.set_modified(std::time::UNIX_EPOCH))
            .expect("time");

        assert_eq!(
            archived(&one, Budget::default()).expect("one").1,
            archived(&other, Budget::default()).expect("other").1
        );
    }

    #[test]
    fn fifos_are_refused_by_name_and_sockets_left_out() {
        let (_dir, root) = tree();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("a socket");
        let (path, _) = archived(&root, Budget::default()).expect("a layer");
        assert!(!listing(&path).iter().any(|line| line.contains("socket")));

        nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");

        assert!(archived(&root, Budget::default()).expect_err("refused").message.contains("node/fifo"));
    }

    #[test]
    fn bytes_entries_and_depth_are_bounded() {
        let (_dir, root) = tree();
        assert!(archived(&root, Budget::new(6, 100)).expect_err("refused").message.contains("6 bytes"));
        assert!(archived(&root, Budget::new(100, 3)).expect_err("refused").message.contains("3 entries"));

        File::create(root.join("sparse")).and_then(|file| file.set_len(1 << 42)).expect("a sparse file");
        assert!(archived(&root, Budget::default()).expect_err("refused").message.contains("bytes"));
        fs::remove_file(root.join("sparse")).expect("removed");

        fs::create_dir_all(root.join("d/".repeat(DEPTH_MAX + 2))).expect("folders");
        assert!(archived(&root, Budget::default()).expect_err("refused").message.contains("folders above"));
    }
}
