//! Writes one layer, and learns its digest meanwhile.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::failure::{OrFailure, Result};

/// 1980-01-01T00:00:01Z, the time that lifecycles give all files.
const TIME: u64 = 315_532_801;

/// User and group of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

pub const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// A written layer: the digest of an uncompressed layer is its diff ID too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenLayer {
    /// `sha256:...`
    pub digest: String,
    pub size: u64,
    pub path: PathBuf,
}

/// Counts and hashes what goes through.
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

pub struct LayerWriter {
    archive: Builder<Hashing>,
    temporary: PathBuf,
}

impl LayerWriter {
    /// Begins a layer in a folder of the platform.
    pub fn begin(folder: &Path) -> Result<Self> {
        let temporary = folder.join("layer.tmp");
        let file = File::create(&temporary).or_fail(format!("{} cannot be written", temporary.display()))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let archive = Builder::new(Hashing { file, hash: Sha256::new(), size: 0 });
        Ok(Self { archive, temporary })
    }

    pub fn folder(&mut self, path: &Path, mode: u32, owner: Owner) -> Result<()> {
        let mut name = relative(path).as_os_str().to_owned();
        name.push("/");
        let mut header = header(EntryType::Directory, mode, owner);
        let written = self.archive.append_data(&mut header, Path::new(&name), io::empty());
        written.or_fail(format!("{} cannot be archived", path.display()))
    }

    /// Writes exactly this many bytes of a file.
    pub fn file(
        &mut self,
        path: &Path,
        mode: u32,
        owner: Owner,
        size: u64,
        content: impl Read,
    ) -> Result<()> {
        let mut header = header(EntryType::Regular, mode, owner);
        header.set_size(size);
        // An archive whose entry is shorter than its header says would be read wrongly from there on.
        let content = Exact { content: content.take(size), left: size };
        let written = self.archive.append_data(&mut header, relative(path), content);
        written.or_fail(format!("{} cannot be archived", path.display()))
    }

    pub fn symlink(&mut self, path: &Path, target: &Path, owner: Owner) -> Result<()> {
        self.link(EntryType::Symlink, path, target, owner)
    }

    /// A second name of a file that is in the layer already.
    pub fn hard_link(&mut self, path: &Path, first: &Path, owner: Owner) -> Result<()> {
        self.link(EntryType::Link, path, relative(first), owner)
    }

    fn link(&mut self, kind: EntryType, path: &Path, target: &Path, owner: Owner) -> Result<()> {
        let mut header = header(kind, 0o777, owner);
        let fits = target.as_os_str().len() <= header.as_old().linkname.len();
        let written = if fits {
            // Written byte by byte: a link's target is the buildpack's text, not ours to tidy.
            header
                .set_link_name_literal(target.as_os_str().as_bytes())
                .and_then(|()| self.archive.append_data(&mut header, relative(path), io::empty()))
        } else {
            self.archive.append_link(&mut header, relative(path), target)
        };
        written.or_fail(format!("{} cannot be archived", path.display()))
    }

    /// Ends the layer; its file is named by the digest.
    pub fn finish(self, name_of: impl FnOnce(&str) -> PathBuf) -> Result<WrittenLayer> {
        let failed = format!("{} cannot be written", self.temporary.display());
        let Hashing { file, hash, size } = self.archive.into_inner().or_fail(&failed)?;
        let file = file.into_inner().or_fail(&failed)?;
        drop(file);
        let hex = hex::encode(hash.finalize());
        let path = name_of(&hex);
        fs::rename(&self.temporary, &path).or_fail(failed)?;
        Ok(WrittenLayer { digest: format!("sha256:{hex}"), size, path })
    }
}

/// Fails where the content ends early.
struct Exact<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.left -= read as u64;
        match read == 0 && self.left > 0 && !buffer.is_empty() {
            true => Err(io::Error::other("the file became shorter while it was read")),
            false => Ok(read),
        }
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn header(kind: EntryType, mode: u32, owner: Owner) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    // Programs do not run as another user, whoever wrote them.
    header.set_mode(mode & 0o1777);
    header.set_uid(owner.uid.into());
    header.set_gid(owner.gid.into());
    header.set_mtime(TIME);
    header.set_size(0);
    header
}
