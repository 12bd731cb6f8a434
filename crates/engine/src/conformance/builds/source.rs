//! Sources of builds, as the builder sends them.

use crate::SourceStream;
use bytes::Bytes;
use tokio::sync::mpsc;

/// Files as the builder sends them; those in `bin/` can be run.
pub fn source(files: &[(&str, &str)]) -> SourceStream {
    source_with_links(files, &[])
}

/// Files, of which those with a slash at their end are empty folders, and symbolic links with their targets.
pub fn source_with_links(files: &[(&str, &str)], links: &[(&str, &str)]) -> SourceStream {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if path.contains("bin/") { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        if path.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
        }
        archive.append_data(&mut header, path, content.as_bytes()).expect("memory takes it");
    }
    for (path, target) in links {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, path, target).expect("memory takes it");
    }
    Box::pin(std::io::Cursor::new(archive.into_inner().expect("memory takes it")))
}

/// Runs a build to its end, with the place for its output; gives back its outcome and its output.
pub async fn run_build<F: Future>(build: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> (F::Output, String) {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(64);
    let output = async {
        let mut output = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            output.extend_from_slice(&chunk);
        }
        String::from_utf8_lossy(&output).into_owned()
    };
    tokio::join!(build(sender), output)
}

/// Links whose targets are above the source, and one to the sandbox's own root.
pub const OUTWARD_LINKS: &[(&str, &str)] =
    &[("log", "../../shared/log"), ("site/img/pictures", "../../../../../pictures"), ("etc", "/etc")];
