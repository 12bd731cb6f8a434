//! The pushed commit: what is in it, and its files as a tar stream.
//!
//! The commit is not accepted yet, so every question goes to git with the hook's quarantine.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use domain::ProcessType;
use domain::build::BuildKind;
use domain::procfile::{self, ProcfileError};
use futures_util::stream::try_unfold;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdout, Command};
use tokio_util::io::StreamReader;

use crate::git::{Git, Quarantine};

/// Largest Procfile that is read.
const PROCFILE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of the archive that are handed on at once.
const PIECE_BYTES: usize = 64 << 10;
/// The id of a tree without files.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// Where the pushed objects are.
pub(crate) struct Objects<'a> {
    pub git: &'a Git,
    pub repository: &'a Path,
    pub quarantine: &'a Quarantine,
}

/// What the root of the source says about the build.
#[derive(Debug)]
pub(crate) struct Found {
    pub kind: BuildKind,
    /// `None` where there is no Procfile.
    pub procfile: Option<BTreeMap<ProcessType, String>>,
}

/// Why a source cannot be built; the text is what the pusher sees.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("`{0}` is not a commit; push a branch, as in `git push deis main`")]
    NoCommit(String),
    #[error("the commit {0} has no files; add some with `git add`, commit and push again")]
    Empty(String),
    #[error(transparent)]
    Procfile(#[from] ProcfileError),
    #[error("Procfile: it is no text file of at most 64 KiB; each line of it is `<type>: <command>`")]
    NoProcfile,
    #[error("git cannot read what was pushed: {0}; push again")]
    Git(#[source] Error),
}

/// What `git cat-file` knows about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    id: String,
    kind: String,
    size_bytes: u64,
}

impl Objects<'_> {
    /// The names of all refs that are there already.
    pub(crate) async fn existing_refs(&self) -> Result<Vec<String>, SourceError> {
        let command = self.command(&["for-each-ref", "--format=%(refname)"]);
        let output = self.git.answer(command).await.map_err(SourceError::Git)?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Decides how the commit is built (components.md 1.7) and reads its Procfile before anything slow begins.
    pub(crate) async fn inspect(&self, commit: &str) -> Result<Found, SourceError> {
        let asked = [
            commit.to_owned(),
            format!("{commit}^{{tree}}"),
            format!("{commit}:Dockerfile"),
            format!("{commit}:Procfile"),
        ];
        let objects = self.objects(&asked).await.map_err(SourceError::Git)?;
        let [this, tree, dockerfile, procfile] = &objects[..] else {
            return Err(SourceError::Git(ErrorKind::UnexpectedEof.into()));
        };
        if this.as_ref().is_none_or(|object| object.kind != "commit") {
            return Err(SourceError::NoCommit(commit.to_owned()));
        }
        if tree.as_ref().is_none_or(|tree| tree.id == EMPTY_TREE) {
            return Err(SourceError::Empty(commit[..8].to_owned()));
        }
        let is_file = dockerfile.as_ref().is_some_and(|object| object.kind == "blob");
        let kind = if is_file { BuildKind::Dockerfile } else { BuildKind::Buildpack };
        let procfile = match procfile {
            Some(object) => Some(self.procfile(object).await?),
            None => None,
        };
        Ok(Found { kind, procfile })
    }

    async fn procfile(&self, object: &Object) -> Result<BTreeMap<ProcessType, String>, SourceError> {
        if object.kind != "blob" || object.size_bytes > PROCFILE_BYTES_MAX {
            return Err(SourceError::NoProcfile);
        }
        let command = self.command(&["cat-file", "blob", &object.id]);
        let output = self.git.answer(command).await.map_err(SourceError::Git)?;
        let text = String::from_utf8(output.stdout).map_err(|_| SourceError::NoProcfile)?;
        Ok(procfile::parse(&text)?)
    }

    /// Looks names up; `None` where there is no such object.
    async fn objects(&self, names: &[String]) -> std::io::Result<Vec<Option<Object>>> {
        let mut command = self.command(&["cat-file", "--batch-check", "--follow-symlinks"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().ok_or(ErrorKind::BrokenPipe)?;
        input.write_all(format!("{}\n", names.join("\n")).as_bytes()).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        Ok(parse_objects(&output.stdout))
    }

    /// The files of the commit as a tar stream, and where to learn afterwards why it broke off.
    pub(crate) fn archive(
        &self,
        commit: &str,
        bytes_max: u64,
    ) -> Result<(engine::Source, Arc<OnceLock<String>>), SourceError> {
        let mut command = self.command(&["archive", "--format=tar", commit]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(SourceError::Git)?;
        let output = child.stdout.take().ok_or_else(|| SourceError::Git(ErrorKind::BrokenPipe.into()))?;
        let failure = Arc::new(OnceLock::new());
        let archive =
            Archive { child, output, left_bytes: bytes_max, bytes_max, failure: Arc::clone(&failure) };
        let pieces = try_unfold(archive, Archive::next);
        Ok((Box::pin(StreamReader::new(Box::pin(pieces))), failure))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.git.about(self.repository, self.quarantine, arguments)
    }
}

/// A `git archive` under way. Its end only counts when git says that it was the end.
struct Archive {
    child: Child,
    output: ChildStdout,
    left_bytes: u64,
    bytes_max: u64,
    failure: Arc<OnceLock<String>>,
}

impl Archive {
    async fn next(mut self) -> std::io::Result<Option<(Bytes, Self)>> {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let read_bytes = self.output.read_buf(&mut piece).await?;
        if read_bytes > 0 {
            let Some(left_bytes) = self.left_bytes.checked_sub(read_bytes as u64) else {
                let megabytes = self.bytes_max >> 20;
                return Err(self.failed(format!(
                    "the source is larger than {megabytes} MiB unpacked; leave big files out of the repository"
                )));
            };
            self.left_bytes = left_bytes;
            return Ok(Some((piece.freeze(), self)));
        }
        if self.child.wait().await?.success() {
            Ok(None)
        } else {
            Err(self.failed("git cannot read the files of the commit; push again".to_owned()))
        }
    }

    fn failed(&self, reason: String) -> Error {
        let reason = self.failure.get_or_init(|| reason);
        Error::other(reason.clone())
    }
}

/// One answer a line; what a broken symlink leads to follows as a text of its own.
fn parse_objects(mut output: &[u8]) -> Vec<Option<Object>> {
    let mut objects = Vec::new();
    while let Some(end) = output.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&output[..end]).into_owned();
        output = &output[end + 1..];
        let words: Vec<_> = line.split(' ').collect();
        objects.push(match words[..] {
            ["dangling" | "symlink" | "loop" | "notdir", size] => {
                let skipped = size.parse::<usize>().unwrap_or(0).saturating_add(1);
                output = output.get(skipped..).unwrap_or(&[]);
                None
            }
            [id, kind, size] => size.parse().ok().map(|size_bytes| Object {
                id: id.to_owned(),
                kind: kind.to_owned(),
                size_bytes,
            }),
            _ => None,
        });
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_symlink_is_no_file_and_shifts_no_other_answer() {
        let output = b"aa commit 10\nxx:Dockerfile missing\ndangling 5\nab\ncd\nbb blob 7\n";

        let objects = parse_objects(output);

        let kinds: Vec<_> = objects.iter().map(|object| object.as_ref().map(|o| o.kind.as_str())).collect();
        assert_eq!(kinds, [Some("commit"), None, None, Some("blob")]);
    }
}
