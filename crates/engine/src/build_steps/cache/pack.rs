//! Packs a folder that user code may change meanwhile: by descriptors, as a path could have become a link to what only
//! this process may read.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use sha2::Digest as _;

use crate::build_steps::{OrFailed as _, StepError};

type Archive = tar::Builder<zstd::Encoder<'static, File>>;

/// The fastest that packs as well as gzip.
const LEVEL: i32 = 1;

/// Packs a folder, entries sorted so that the same files give the same bytes; returns its fingerprint, `None` above the
/// bound.
pub fn pack(root: &File, file: File, bytes_max: u64) -> Result<Option<String>, StepError> {
    let packed = || {
        let mut archive = tar::Builder::new(zstd::Encoder::new(file, LEVEL)?);
        let mut hash = sha2::Sha256::new();
        let is_whole = walk(root, bytes_max, &mut |path, metadata, entry| {
            hash_head(&mut hash, path, metadata, &entry);
            match entry {
                Entry::Folder => add_empty(&mut archive, path, metadata),
                Entry::File(content) => {
                    let mut content = HashedReader { content, hash: &mut hash };
                    archive.append_data(&mut header(metadata), path, &mut content)?;
                    whole(path, &content.content)
                }
                Entry::Link(target) => archive.append_link(&mut header(metadata), path, target),
            }
        })?;
        archive.into_inner().and_then(zstd::Encoder::finish)?;
        Ok(is_whole.then(|| hex::encode(hash.finalize())))
    };
    packed().or_failed("pack the cache")
}

/// Unpacks an archive; earlier versions packed with gzip.
pub fn unpack<'a>(archive: impl io::Read + 'a, is_zstd: bool, folder: &Path) -> io::Result<()> {
    let plain: Box<dyn io::Read + 'a> = if is_zstd {
        Box::new(zstd::Decoder::new(archive)?)
    } else {
        Box::new(flate2::read::GzDecoder::new(archive))
    };
    let mut archive = tar::Archive::new(plain);
    archive.set_preserve_mtime(true);
    archive.unpack(folder)
}

/// Hash over names, modes and content of a folder, which packs may write anew as it was: times do not count. `None`
/// above the bound. A tenth of the work of packing.
pub fn fingerprint(root: &File, bytes_max: u64) -> Result<Option<String>, StepError> {
    let mut hash = sha2::Sha256::new();
    let is_whole = walk(root, bytes_max, &mut |path, metadata, entry| {
        hash_head(&mut hash, path, metadata, &entry);
        let Entry::File(content) = entry else { return Ok(()) };
        let mut content = HashedReader { content, hash: &mut hash };
        io::copy(&mut content, &mut io::sink())?;
        whole(path, &content.content)
    });
    let is_whole = is_whole.or_failed("read the cache")?;
    Ok(is_whole.then(|| hex::encode(hash.finalize())))
}

/// Opens a folder that is not a link to one.
pub fn folder_beneath(folder: &Path, name: &str) -> Option<File> {
    open(&File::open(folder).ok()?, OsStr::new(name), OFlag::O_DIRECTORY).ok()
}

/// Something in a folder.
enum Entry {
    Folder,
    File(io::Take<File>),
    Link(OsString),
}

/// Visits all entries, sorted; `false` if their sizes are above the bound.
fn walk(
    root: &File,
    bytes_max: u64,
    visit: &mut dyn FnMut(&Path, &Metadata, Entry) -> io::Result<()>,
) -> io::Result<bool> {
    let mut total_bytes = 0;
    let mut folders = vec![PathBuf::new()];
    while let Some(path) = folders.pop() {
        let folder = reopened(root, &path)?;
        for name in sorted_names(&folder)? {
            let name = OsStr::from_bytes(name.as_bytes());
            let entry = open(&folder, name, OFlag::O_PATH)?;
            let metadata = entry.metadata()?;
            let kind = metadata.file_type();
            if !(kind.is_dir() || kind.is_file() || kind.is_symlink()) {
                continue;
            }
            total_bytes += metadata.len();
            if total_bytes > bytes_max {
                return Ok(false);
            }
            let path = path.join(name);
            if kind.is_dir() {
                visit(&path, &metadata, Entry::Folder)?;
                folders.push(path);
            } else if kind.is_file() {
                let file = open(&folder, name, OFlag::O_NONBLOCK)?;
                let opened = file.metadata()?;
                if !opened.is_file() || opened.len() != metadata.len() {
                    return Err(changed(&path));
                }
                visit(&path, &opened, Entry::File(file.take(metadata.len())))?;
            } else {
                visit(&path, &metadata, Entry::Link(readlinkat(&entry, OsStr::new(""))?))?;
            }
        }
    }
    Ok(true)
}

fn hash_head(hash: &mut sha2::Sha256, path: &Path, metadata: &Metadata, entry: &Entry) {
    let target = match entry {
        Entry::Link(target) => target.as_bytes(),
        Entry::Folder | Entry::File(_) => b"",
    };
    let size_bytes = if metadata.is_file() { metadata.len() } else { 0 };
    for text in [path.as_os_str().as_bytes(), target] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(metadata.mode().to_le_bytes());
    hash.update(size_bytes.to_le_bytes());
}

/// A file whose content is hashed as it is read.
struct HashedReader<'a> {
    content: io::Take<File>,
    hash: &'a mut sha2::Sha256,
}

impl io::Read for HashedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

fn header(metadata: &Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_metadata(metadata);
    header
}

fn add_empty(archive: &mut Archive, path: &Path, metadata: &Metadata) -> io::Result<()> {
    let mut header = header(metadata);
    header.set_size(0);
    archive.append_data(&mut header, path, io::empty())
}

fn whole(path: &Path, content: &io::Take<File>) -> io::Result<()> {
    if content.limit() == 0 { Ok(()) } else { Err(changed(path)) }
}

fn changed(path: &Path) -> io::Error {
    io::Error::other(format!("{} was changed meanwhile", path.display()))
}

/// Opens a folder below the root, through no link.
fn reopened(root: &File, path: &Path) -> io::Result<File> {
    path.iter().try_fold(root.try_clone()?, |folder, name| open(&folder, name, OFlag::O_DIRECTORY))
}

fn open(folder: &File, name: &OsStr, kind: OFlag) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(File::from(openat(folder, name, flags | kind, Mode::empty())?))
}

fn sorted_names(folder: &File) -> io::Result<Vec<CString>> {
    // A descriptor of its own, since listing moves its position.
    let own = open(folder, OsStr::new("."), OFlag::O_DIRECTORY)?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(own.into())? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn packed(folder: &Path, bytes_max: u64) -> Option<File> {
        let file = tempfile::tempfile().expect("a temporary file");
        let root = File::open(folder).expect("it is there");
        pack(&root, file.try_clone().expect("a second handle"), bytes_max).expect("it is packed")?;
        Some(file)
    }

    #[test]
    fn what_was_packed_is_unpacked_again_with_its_links_as_they_are() {
        use std::io::Seek as _;
        let (from, to) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let long = format!("a/{}", "long".repeat(40));
        fs::create_dir_all(from.path().join("a/b")).expect("it is made");
        fs::write(from.path().join("a/b/one"), "1").expect("it is written");
        fs::write(from.path().join(&long), "2").expect("it is written");
        symlink("/proc/self/environ", from.path().join("link")).expect("it is made");

        let mut file = packed(from.path(), 1 << 20).expect("it is small");

        file.rewind().expect("it is a file");
        unpack(file, true, to.path()).expect("it is whole");
        let texts = ["a/b/one", &long].map(|name| fs::read_to_string(to.path().join(name)).expect(name));
        assert_eq!(texts, ["1", "2"]);
        let target = fs::read_link(to.path().join("link")).expect("it is a link");
        assert_eq!(target, Path::new("/proc/self/environ"));
    }

    #[test]
    fn a_cache_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut archive =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        archive.append_data(&mut header, "x", &b"x"[..]).expect("memory takes it");
        let bytes = archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory takes it");

        unpack(&bytes[..], false, folder.path()).expect("it is whole");

        assert_eq!(fs::read(folder.path().join("x")).expect("it is there"), b"x");
    }

    #[test]
    fn a_fingerprint_changes_with_content_modes_and_names_and_not_with_times() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("one");
        let of = || {
            let root = File::open(folder.path()).expect("it is there");
            let alone = fingerprint(&root, 1 << 20).expect("it is read").expect("it is small");
            let out = tempfile::tempfile().expect("a temporary file");
            let packed = pack(&root, out, 1 << 20).expect("it is packed").expect("it is small");
            assert_eq!(packed, alone);
            alone
        };
        fs::write(&file, "1").expect("it is written");
        let first = of();

        File::options()
            .append(true)
            .open(&file)
            .and_then(|file| file.set_modified(std::time::UNIX_EPOCH))
            .expect("it is set");
        assert_eq!(of(), first);
        fs::write(&file, "2").expect("it is written");
        let second = of();
        fs::rename(&file, folder.path().join("two")).expect("it is renamed");
        let third = of();
        symlink("two", file).expect("it is made");
        let all = std::collections::BTreeSet::from([first, second, third, of()]);
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_folder_above_the_bound_is_not_packed_and_a_link_is_no_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("cache")).expect("it is made");
        fs::write(folder.path().join("cache/x"), [0; 100]).expect("it is written");
        symlink("cache", folder.path().join("link")).expect("it is made");

        assert!(packed(&folder.path().join("cache"), 99).is_none());
        assert!(folder_beneath(folder.path(), "cache").is_some());
        assert!(folder_beneath(folder.path(), "link").is_none());
    }
}
