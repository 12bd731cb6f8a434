//! A layer of our own files: small, and reproducible: sorted, owned by root, without
//! times.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::archive::digest_of;
use super::{Content, Layer};

/// Path of each file in the image, and on this machine.
pub type Files = BTreeMap<PathBuf, PathBuf>;

/// Adds all files below `folder` as if it lay at `path`, which is relative to the image's root.
pub fn add_folder(files: &mut Files, path: &str, folder: &Path) -> anyhow::Result<()> {
    files.insert(PathBuf::from(path), folder.to_owned());
    find(folder, Path::new(path), files).with_context(|| format!("cannot read {}", folder.display()))
}

/// Packs the files; folders come before what is in them.
pub fn layer(files: &Files) -> anyhow::Result<Layer> {
    layer_with_folders(files, &[], 0)
}

/// Packs empty folders of a user, whose group has the same number, and then the files.
pub fn layer_with_folders(files: &Files, folders: &[&str], user_id: u64) -> anyhow::Result<Layer> {
    let mut archive = tar::Builder::new(Vec::new());
    for folder in folders {
        append_folder(&mut archive, &format!("{folder}/"), user_id)?;
    }
    for (path, file) in files {
        append(&mut archive, path, file).with_context(|| format!("cannot pack {}", file.display()))?;
    }
    let content = archive.into_inner()?;
    let (digest, size_bytes) = (digest_of(&content), content.len() as u64);
    Ok(Layer::new(digest, size_bytes, Content::Bytes(content)))
}

fn find(folder: &Path, path: &Path, files: &mut Files) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = path.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            find(&entry.path(), &path, files)?;
        }
        files.insert(path, entry.path());
    }
    Ok(())
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &Path, file: &Path) -> std::io::Result<()> {
    let metadata = std::fs::symlink_metadata(file)?;
    if metadata.is_dir() {
        return append_folder(archive, &format!("{}/", path.display()), 0);
    }
    let mut header = tar::Header::new_gnu();
    if metadata.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        return archive.append_link(&mut header, path, std::fs::read_link(file)?);
    }
    let content = std::fs::read(file)?;
    // Only the executable bit counts; the others depend on the umask of the checkout.
    header.set_mode(if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 });
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, &content[..])
}

fn append_folder(archive: &mut tar::Builder<Vec<u8>>, path: &str, user_id: u64) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_uid(user_id);
    header.set_gid(user_id);
    header.set_mode(0o755);
    archive.append_data(&mut header, path, std::io::empty())
}
