//! Symbolic links of a source that lead out of it, such as `log -> ../../shared/log`.
//!
//! Docker takes no such link in an archive that is unpacked below a folder, wherever it is followed later. It takes it
//! from an archive that is unpacked at the root of the container, out of which no link leads. So these are set aside while
//! the source passes by, and put there as an archive of their own.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tar::{EntryType, Header};
use tokio::io::AsyncRead;

use super::archive::{Entries, Sink};

/// Largest header that holds a long name or a long target of a link.
const EXTENDED_BYTES_MAX: usize = 64 << 10;
/// Bytes of all names and targets that are set aside.
const LINKS_BYTES_MAX: usize = 4 << 20;

/// Links that were set aside, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OutwardLinks {
    links: Vec<(PathBuf, PathBuf)>,
    bytes: usize,
}

/// Headers that describe the entry after them, held back until that is known.
#[derive(Default)]
pub struct ExtendedHeaders {
    blocks: Vec<Bytes>,
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl OutwardLinks {
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// An archive of the links below `folder`, which is a path from the root.
    pub fn archive(self, folder: &str, (uid, gid): (u64, u64)) -> io::Result<Bytes> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, target) in self.links {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_uid(uid);
            header.set_gid(gid);
            header.set_size(0);
            archive.append_link(&mut header, Path::new(folder.trim_start_matches('/')).join(path), target)?;
        }
        archive.into_inner().map(Bytes::from)
    }

    /// Sets an entry aside if it is a link that leads out of the source.
    pub fn take(&mut self, header: &Header, extended: &ExtendedHeaders) -> io::Result<bool> {
        if header.entry_type() != EntryType::Symlink {
            return Ok(false);
        }
        let path = extended.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
        let own_target = || header.link_name_bytes().unwrap_or_default().into_owned();
        let target = extended.target.clone().unwrap_or_else(own_target);
        let (path, target) = (Path::new(OsStr::from_bytes(&path)), Path::new(OsStr::from_bytes(&target)));
        if !leads_out(path, target) {
            return Ok(false);
        }
        if path.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(io::Error::other(format!("the link {} is not below the source", path.display())));
        }
        self.bytes += path.as_os_str().len() + target.as_os_str().len();
        if self.bytes > LINKS_BYTES_MAX {
            let mib = LINKS_BYTES_MAX >> 20;
            return Err(io::Error::other(format!(
                "links that lead out of the source have more than {mib} MiB of names; have fewer"
            )));
        }
        self.links.push((path.to_owned(), target.to_owned()));
        Ok(true)
    }
}

impl ExtendedHeaders {
    /// Holds a header back, with its content; `false` where it is an entry of its own.
    pub async fn hold<R: AsyncRead + Unpin>(
        &mut self,
        header: &Header,
        entries: &mut Entries<R>,
    ) -> io::Result<bool> {
        let kind = header.entry_type();
        let is_extended =
            matches!(kind, EntryType::XHeader | EntryType::GNULongName | EntryType::GNULongLink);
        if !is_extended {
            return Ok(false);
        }
        let size_bytes = header.entry_size()?;
        if size_bytes > EXTENDED_BYTES_MAX as u64 {
            let kib = EXTENDED_BYTES_MAX >> 10;
            return Err(io::Error::other(format!("a name or the target of a link is longer than {kib} KiB")));
        }
        let mut content = BytesMut::new();
        while let Some(chunk) = entries.chunk().await? {
            content.extend_from_slice(&chunk);
        }
        let content = content.freeze();
        let text = &content[..usize::try_from(size_bytes).unwrap_or_default()];
        let ended = |text: &[u8]| text.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        match kind {
            EntryType::GNULongName => self.path = Some(ended(text)),
            EntryType::GNULongLink => self.target = Some(ended(text)),
            _ => {
                for record in tar::PaxExtensions::new(text) {
                    let record = record?;
                    match record.key_bytes() {
                        b"path" => self.path = Some(record.value_bytes().to_vec()),
                        b"linkpath" => self.target = Some(record.value_bytes().to_vec()),
                        _ => {}
                    }
                }
            }
        }
        self.blocks.push(Bytes::copy_from_slice(header.as_bytes()));
        self.blocks.push(content);
        Ok(true)
    }

    /// Sends what was held back.
    pub async fn send(self, sink: &Sink) -> io::Result<()> {
        for block in self.blocks {
            sink.send(block).await?;
        }
        Ok(())
    }
}

/// Returns true if the target, seen from the link's folder, is above the source.
fn leads_out(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    depth = depth.saturating_sub(1);
    for part in target.components() {
        match part {
            // Of the container, as it is.
            Component::RootDir | Component::Prefix(_) => return false,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_out_where_its_target_is_above_the_source() {
        let leads = |path: &str, target: &str| leads_out(Path::new(path), Path::new(target));

        for (path, target) in
            [("log", "../log"), ("a/b/c", "../../../x"), ("./log", "../log"), ("a/b", "x/../../../y")]
        {
            assert!(leads(path, target), "{path} -> {target}");
        }
        for (path, target) in [
            ("log", "shared/log"),
            ("a/b/c", "../../x"),
            ("log", "/etc/passwd"),
            ("a", "./."),
            ("a/b", "x/../../y"),
        ] {
            assert!(!leads(path, target), "{path} -> {target}");
        }
    }
}
