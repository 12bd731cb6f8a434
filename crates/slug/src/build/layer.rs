//! The slug as one image layer: an uncompressed tar that depends on nothing but the files' names and contents.
//!
//! Entries are sorted, owners and modes normalised, extended attributes absent. A file's time is made from
//! its content: a fixed one would let web servers that build validators from time and size take a changed
//! file for an unchanged one.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Cursor, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// User and group of the stack's `slug` user.
const SLUG_UID: u64 = 2000;
/// 2010-01-01: the time of folders and links, and the first one that a file can get.
const EPOCH: u64 = 1_262_304_000;
/// Files' times are spread over this many seconds (about 8 years) after [`EPOCH`].
const SPREAD: u64 = 1 << 28;
/// Files up to this size are read once, others twice.
const IN_MEMORY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Content of the slug.
pub struct Contents {
    root: PathBuf,
    /// Paths below `root` in the order of the archive.
    entries: Vec<(PathBuf, Metadata)>,
    /// Sockets, pipes and devices, which no image can hold.
    pub left_out: Vec<PathBuf>,
}

impl Contents {
    /// Lists the files below `root` but for what git keeps.
    pub fn list(root: &Path) -> io::Result<Self> {
        let mut contents = Self { root: root.to_owned(), entries: Vec::new(), left_out: Vec::new() };
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))? {
                let name = entry?.file_name();
                if name == ".git" {
                    continue;
                }
                let path = folder.join(name);
                let metadata = fs::symlink_metadata(root.join(&path))?;
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                contents.add(path, metadata);
            }
        }
        contents.entries.sort_by(|(a, _), (b, _)| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        contents.left_out.sort();
        Ok(contents)
    }

    fn add(&mut self, path: PathBuf, metadata: Metadata) {
        if metadata.is_file() || metadata.is_dir() || metadata.is_symlink() {
            self.entries.push((path, metadata));
        } else {
            self.left_out.push(path);
        }
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.entries
            .iter()
            .filter(|(_, metadata)| metadata.is_file())
            .map(|(_, metadata)| metadata.len())
            .sum()
    }

    /// Writes the archive, everything below `app/`, and returns its size.
    pub fn write(&self, to: &Path) -> io::Result<u64> {
        let mut archive = Builder::new(BufWriter::with_capacity(1 << 20, File::create(to)?));
        let mut links = HashMap::new();
        archive.append_data(&mut header(EntryType::Directory, 0o755, EPOCH), "app/", io::empty())?;
        for (path, metadata) in &self.entries {
            let name = Path::new("app").join(path);
            let first = (metadata.is_file() && metadata.nlink() > 1).then(|| {
                links.entry((metadata.dev(), metadata.ino())).or_insert_with(|| name.clone()).clone()
            });
            match first {
                Some(first) if first != name => append_link(&mut archive, EntryType::Link, &name, &first)?,
                _ => append(&mut archive, &self.root.join(path), &name, metadata)?,
            }
        }
        let mut file = archive.into_inner()?;
        file.flush()?;
        file.stream_position()
    }
}

fn append(
    archive: &mut Builder<impl Write>,
    from: &Path,
    name: &Path,
    metadata: &Metadata,
) -> io::Result<()> {
    if metadata.is_dir() {
        let mut named = name.as_os_str().to_owned();
        named.push("/");
        archive.append_data(&mut header(EntryType::Directory, 0o755, EPOCH), Path::new(&named), io::empty())
    } else if metadata.is_symlink() {
        append_link(archive, EntryType::Symlink, name, &fs::read_link(from)?)
    } else {
        append_file(archive, from, name, metadata)
    }
}

fn append_file(
    archive: &mut Builder<impl Write>,
    from: &Path,
    name: &Path,
    metadata: &Metadata,
) -> io::Result<()> {
    let mode = if metadata.mode() & 0o111 == 0 { 0o644 } else { 0o755 };
    let mut file = File::open(from)?;
    if metadata.len() <= IN_MEMORY_BYTES_MAX {
        let mut content = Vec::with_capacity(metadata.len() as usize);
        file.read_to_end(&mut content)?;
        let mut header = header(EntryType::Regular, mode, time_of(&Sha256::digest(&content)));
        header.set_size(content.len() as u64);
        return archive.append_data(&mut header, name, Cursor::new(content));
    }
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => {
                hash.update(&chunk[..read]);
                size += read as u64;
            }
        }
    }
    file.rewind()?;
    let mut header = header(EntryType::Regular, mode, time_of(&hash.finalize()));
    header.set_size(size);
    archive.append_data(&mut header, name, file.take(size))
}

fn append_link(
    archive: &mut Builder<impl Write>,
    kind: EntryType,
    name: &Path,
    target: &Path,
) -> io::Result<()> {
    let mut header = header(kind, 0o777, EPOCH);
    let fits = target.as_os_str().len() <= header.as_old().linkname.len();
    if fits {
        // Written byte by byte: a link's target is the app's text, not ours to tidy.
        header.set_link_name_literal(target.as_os_str().as_bytes())?;
        archive.append_data(&mut header, name, io::empty())
    } else {
        archive.append_link(&mut header, name, target)
    }
}

fn header(kind: EntryType, mode: u32, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(SLUG_UID);
    header.set_gid(SLUG_UID);
    header.set_mtime(time);
    header.set_size(0);
    header
}

fn time_of(hash: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    EPOCH + u64::from_be_bytes(first) % SPREAD
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Name, kind, mode, uid, time and link target of each entry.
    fn listing(layer: &Path) -> Vec<(String, EntryType, u32, u64, u64, String)> {
        let mut archive = tar::Archive::new(File::open(layer).expect("layer"));
        let entries = archive.entries().expect("entries").map(|entry| {
            let entry = entry.expect("entry");
            let header = entry.header();
            let link = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let (mode, uid) = (header.mode().expect("mode"), header.uid().expect("uid"));
            (name, header.entry_type(), mode, uid, header.mtime().expect("time"), link.unwrap_or_default())
        });
        entries.collect()
    }

    fn layer_of(root: &Path) -> (PathBuf, Vec<u8>) {
        let to = root.with_extension("tar");
        Contents::list(root).expect("list").write(&to).expect("write");
        let bytes = fs::read(&to).expect("read");
        (to, bytes)
    }

    fn app(dir: &Path, order: &[&str]) -> PathBuf {
        let root = dir.join("build");
        for name in order {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(&path, format!("content of {name}")).expect("file");
        }
        fs::set_permissions(root.join("bin/run"), fs::Permissions::from_mode(0o4700)).expect("mode");
        root
    }

    #[test]
    fn the_same_files_give_the_same_bytes_whatever_their_order_time_and_mode_bits() {
        let (one, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let a = app(one.path(), &["b", "bin/run", "a.b", "a/c"]);
        let b = app(other.path(), &["a/c", "a.b", "bin/run", "b"]);
        fs::set_permissions(b.join("b"), fs::Permissions::from_mode(0o600)).expect("mode");
        File::open(b.join("b")).and_then(|file| file.set_modified(std::time::UNIX_EPOCH)).expect("time");

        assert_eq!(layer_of(&a).1, layer_of(&b).1);
    }

    #[test]
    fn entries_are_sorted_and_belong_to_the_slug_user() {
        let dir = tempfile::tempdir().expect("dir");
        let root = app(dir.path(), &["b", "bin/run", "a.b", "a/c", "a/.git/config"]);

        let entries = listing(&layer_of(&root).0);

        let names: Vec<_> = entries.iter().map(|entry| (entry.0.as_str(), entry.2)).collect();
        assert_eq!(
            names,
            [
                ("app/", 0o755),
                ("app/a/", 0o755),
                ("app/a.b", 0o644),
                ("app/a/c", 0o644),
                ("app/b", 0o644),
                ("app/bin/", 0o755),
                ("app/bin/run", 0o755),
            ]
        );
        assert!(entries.iter().all(|entry| entry.3 == SLUG_UID));
    }

    #[test]
    fn a_changed_file_of_the_same_size_gets_another_time() {
        let dir = tempfile::tempdir().expect("dir");
        let root = app(dir.path(), &["bin/run", "style.css"]);
        let before = listing(&layer_of(&root).0);
        fs::write(root.join("style.css"), "content of stile.css").expect("file");

        let after = listing(&layer_of(&root).0);

        assert_eq!(before[2], after[2], "bin/run is unchanged");
        assert_ne!(before[3].4, after[3].4, "style.css has changed");
    }

    #[test]
    fn links_are_kept_as_they_are_also_with_long_names() {
        let dir = tempfile::tempdir().expect("dir");
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        let root = app(dir.path(), &["bin/run", &long]);
        fs::hard_link(root.join("bin/run"), root.join("run-too")).expect("hard link");
        symlink("..//./app/bin/run", root.join("x-link")).expect("link");
        symlink(&long, root.join("y-link")).expect("link");

        let entries = listing(&layer_of(&root).0);

        let link_of =
            |name: &str| entries.iter().find(|entry| entry.0 == name).map(|entry| (entry.1, &*entry.5));
        assert_eq!(link_of("app/run-too"), Some((EntryType::Link, "app/bin/run")));
        assert_eq!(link_of("app/x-link"), Some((EntryType::Symlink, "..//./app/bin/run")));
        assert_eq!(link_of("app/y-link"), Some((EntryType::Symlink, &*long)));
        assert!(entries.iter().any(|entry| entry.0 == format!("app/{long}")));
    }

    #[test]
    fn a_socket_is_left_out_and_named() {
        let dir = tempfile::tempdir().expect("dir");
        let root = app(dir.path(), &["bin/run"]);
        let _socket = std::os::unix::net::UnixListener::bind(root.join("s")).expect("socket");

        let contents = Contents::list(&root).expect("list");

        assert_eq!(contents.left_out, [PathBuf::from("s")]);
        assert_eq!(contents.bytes(), "content of bin/run".len() as u64);
    }
}
