//! The pushed commit: its content, and its files as a tar stream.
//!
//! The commit is not accepted yet, so every git process gets the hook's quarantine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::ProcessType;
use domain::build_plan::{BuildChoices, BuildPlan, ChoiceError, SourcePath};
use domain::heroku_yml::{self, ManifestError};
use domain::packs::{self, SourceListing};
use domain::procfile::{self, ProcfileError};
use domain::project_toml::{self, DescriptorError, ProjectDescriptor};
use domain::submodules::{Gitlink, Gitmodules, Submodule, Unfetched};
use futures_util::stream::try_unfold;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::ChildStdout;
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

use crate::git::{Git, Quarantine};
use crate::limits::{GitCommand, GitProcess, GitTask};
use crate::pointers::Pointers;
use crate::refs::RefUpdate;
use crate::shallow::SHALLOW_VARIABLE;
use crate::tree::{TreeBounds, TreeCheck, TreeError};

/// The file with the process types.
const PROCFILE: &str = "Procfile";
/// Largest Procfile, or other file, that is read before a build.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// Largest commit that is read: its message, mostly.
const COMMIT_BYTES_MAX: u64 = 1 << 20;
/// Longest time that looking through a source's names may take.
const TREE_MAX: Duration = Duration::from_secs(60);
/// Longest answer about the objects of one push.
const ANSWERS_BYTES_MAX: u64 = 1 << 20;
/// Paths and URLs of all submodules; they go to the build in one variable (`MAX_ARG_STRLEN` is 128 KiB).
const SUBMODULES_TEXT_BYTES_MAX: usize = 32 << 10;
/// Bytes of the archive that are handed on at once.
const PIECE_BYTES: usize = 64 << 10;
/// The id of a tree without files.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// Location of the pushed objects.
pub(crate) struct Objects<'a> {
    pub git: &'a Git,
    pub repository: &'a Path,
    pub quarantine: &'a Quarantine,
}

/// Plan of the build and Procfile, read from the app's folder of the source.
#[derive(Debug)]
pub(crate) struct SourceSummary {
    pub plan: BuildPlan,
    /// `None` where there is no Procfile.
    pub procfile: Option<BTreeMap<ProcessType, String>>,
}

/// A source that cannot be built; the text is shown to the pusher.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(
        "the branch `{branch}` is given `{id}`, which is not a commit; push a commit, as in `git push deis HEAD:{branch}` \
         or, for the commit of a tag, `git push deis 'v1^{{}}:{branch}'`"
    )]
    NotForBranch { branch: String, id: String },
    #[error("the commit {0} is larger than 1 MiB; shorten its message, as in `git commit --amend`")]
    LargeCommit(String),
    #[error(
        "the history of {0} is incomplete; run `git fsck`, and `git fetch --unshallow` if it comes from a shallow clone, \
         then push again"
    )]
    Shallow(String),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error("the commit {0} has no files; add some with `git add`, commit and push again")]
    Empty(String),
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("heroku.yml: it is no text file of at most 64 KiB in UTF-8")]
    NoManifest,
    #[error(transparent)]
    Descriptor(#[from] DescriptorError),
    #[error("project.toml: it is no text file of at most 64 KiB in UTF-8")]
    NoDescriptor,
    #[error(transparent)]
    Procfile(#[from] ProcfileError),
    #[error("Procfile: it is no text file of at most 64 KiB; each line of it is `<type>: <command>`")]
    NoProcfile,
    #[error("the submodules have more than {} KiB of paths and URLs; have fewer", SUBMODULES_TEXT_BYTES_MAX >> 10)]
    Submodules,
    #[error("git cannot read what was pushed: {0}; push again")]
    Git(#[source] Error),
}

/// Facts of `git cat-file` about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    id: String,
    kind: String,
    size_bytes: u64,
}

impl Objects<'_> {
    /// All refs that are there already, with their ids.
    pub(crate) async fn existing_refs(&self) -> Result<BTreeMap<String, String>, SourceError> {
        let command = self.command(&["for-each-ref", "--format=%(objectname) %(refname)"]);
        let output = self.git.answer(command).await.map_err(SourceError::Git)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let refs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(refs.map(|(id, name)| (name.to_owned(), id.to_owned())).collect())
    }

    /// Checks that a branch points to a commit and nothing else; git itself would check it only after the release.
    pub(crate) async fn check_branches(&self, updates: &[RefUpdate]) -> Result<(), SourceError> {
        let branches: Vec<_> =
            updates.iter().filter_map(|update| Some((update.pushed_branch()?, &update.new))).collect();
        if branches.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = branches.iter().map(|(_, id)| (*id).clone()).collect();
        let objects = self.objects(&asked).await.map_err(SourceError::Git)?;
        for (index, (branch, id)) in branches.iter().enumerate() {
            let object = objects.get(index).and_then(Option::as_ref);
            if object.is_none_or(|object| object.kind != "commit") {
                return Err(SourceError::NotForBranch {
                    branch: (*branch).to_owned(),
                    id: id[..8].to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The branch that HEAD names; it need not exist.
    pub(crate) async fn head(&self) -> Result<Option<String>, SourceError> {
        let command = self.command(&["symbolic-ref", "--quiet", "HEAD"]);
        let output = self.git.answer(command).await.map_err(SourceError::Git)?;
        let name = String::from_utf8_lossy(&output.stdout);
        Ok(name.trim().strip_prefix("refs/heads/").map(str::to_owned))
    }

    /// Checks the new part of the histories of `updates`. For a shallow clone git itself does so only after the
    /// release, so it is done here, up to the ends that the client named.
    pub(crate) async fn check_history(&self, updates: &[RefUpdate]) -> Result<(), SourceError> {
        let pushed = updates.iter().filter(|update| !update.is_deletion()).map(|update| update.new.as_str());
        let Some(one) = pushed.clone().next() else { return Ok(()) };
        let is_shallow = self.quarantine.contains_key(SHALLOW_VARIABLE);
        let how = if is_shallow { "--objects" } else { "--count" };
        let words = ["rev-list", "--quiet", how].into_iter().chain(pushed).chain(["--not", "--all"]);
        let command = self.command(&words.collect::<Vec<_>>());
        let output = self.git.answer(command).await.map_err(SourceError::Git)?;
        if output.status.success() { Ok(()) } else { Err(SourceError::Shallow(one[..8].to_owned())) }
    }

    /// Looks through the names of the source before anything unpacks it; gives back its submodules.
    pub(crate) async fn check_tree(
        &self,
        commit: &str,
        entries_max: u64,
    ) -> Result<Vec<Gitlink>, SourceError> {
        let mut git = self.command(&["ls-tree", "-r", "-t", "-z", "--full-tree", commit]);
        git.command.stdout(Stdio::piped()).stderr(Stdio::null());
        let search = async {
            let mut process = git.start().map_err(SourceError::Git)?;
            let mut output =
                process.stdout().ok_or_else(|| SourceError::Git(ErrorKind::BrokenPipe.into()))?;
            let mut check = TreeCheck::new(TreeBounds::with_entries(entries_max));
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            while output.read_buf(&mut piece).await.map_err(SourceError::Git)? > 0 {
                check.add(&piece)?;
                piece.clear();
            }
            let status = process.wait().await.map_err(SourceError::Git)?;
            if status.success() {
                Ok(check.into_submodules())
            } else {
                Err(SourceError::Git(Error::other("its list of files breaks off")))
            }
        };
        let late = |_| SourceError::Git(ErrorKind::TimedOut.into());
        tokio::time::timeout(TREE_MAX, search).await.map_err(late)?
    }

    /// The submodules that the build fetches, and those whose folders stay empty.
    pub(crate) async fn submodules(
        &self,
        commit: &str,
        project: &SourcePath,
        links: Vec<Gitlink>,
    ) -> Result<(Vec<Submodule>, Vec<Unfetched>), SourceError> {
        let (mut fetched, mut empty) = (Vec::new(), Vec::new());
        if !links.iter().any(|link| project.relative(&link.path).is_some()) {
            return Ok((fetched, empty));
        }
        let blob = format!("{commit}:.gitmodules");
        let command = self.command(&["config", "--blob", &blob, "--no-includes", "--null", "--list"]);
        // Without the file, or where it is none, git prints nothing.
        let listed = self.git.answer(command).await.map_err(SourceError::Git)?.stdout;
        let modules = Gitmodules::parse(&listed);
        for link in links {
            // The source of the build is the app's folder alone.
            let Some(path) = project.relative(&link.path).map(str::to_owned) else { continue };
            match modules.submodule(&link, None) {
                Ok(submodule) => fetched.push(Submodule { path, ..submodule }),
                Err(unfetched) => empty.push(unfetched),
            }
        }
        let text_bytes: usize =
            fetched.iter().map(|Submodule { path, url, .. }| path.len() + url.len()).sum();
        if text_bytes > SUBMODULES_TEXT_BYTES_MAX {
            return Err(SourceError::Submodules);
        }
        Ok((fetched, empty))
    }

    /// Decides how the commit is built (docs/spec/components.md 1.7) and reads its Procfile before anything slow
    /// begins.
    pub(crate) async fn inspect(
        &self,
        commit: &str,
        choices: &BuildChoices,
    ) -> Result<SourceSummary, SourceError> {
        let BuildChoices { project, dockerfile, .. } = choices;
        let manifests: Vec<_> = packs::candidates().collect();
        let mut asked =
            vec![commit.to_owned(), format!("{commit}^{{tree}}"), format!("{commit}:{}", project.as_str())];
        let files = [heroku_yml::FILE, project_toml::FILE, dockerfile.path.as_str(), PROCFILE];
        let files = files.into_iter().chain(manifests.iter().copied());
        asked.extend(files.map(|file| format!("{commit}:{}", project.join(file))));
        let mut objects = self.objects(&asked).await.map_err(SourceError::Git)?.into_iter();
        let mut next = || objects.next().ok_or_else(|| SourceError::Git(ErrorKind::UnexpectedEof.into()));
        if next()?.is_some_and(|this| this.size_bytes > COMMIT_BYTES_MAX) {
            return Err(SourceError::LargeCommit(commit[..8].to_owned()));
        }
        if next()?.is_none_or(|tree| tree.id == EMPTY_TREE) {
            return Err(SourceError::Empty(commit[..8].to_owned()));
        }
        if next()?.is_none_or(|folder| folder.kind != "tree") {
            return Err(ChoiceError::NoProject(project.clone()).into());
        }
        let is_file = |object: &Object| object.kind == "blob";
        let manifest = next()?.filter(|_| choices.reads_manifest());
        let descriptor = next()?.filter(|_| choices.reads_descriptor());
        let has_dockerfile = next()?.is_some_and(|object| is_file(&object));
        let procfile = next()?;
        let mut found = BTreeMap::new();
        for manifest in manifests {
            found.extend(next()?.filter(is_file).map(|object| (manifest, object)));
        }
        if let Some(plan) = self.plan_of_manifest(commit, choices, manifest).await? {
            return Ok(SourceSummary { plan, procfile: None });
        }
        let listing = self.listing(&found).await?;
        let descriptor = self.descriptor(descriptor).await?;
        let plan = choices.plan(has_dockerfile, descriptor, &listing)?;
        let procfile = match procfile {
            Some(object) => Some(self.procfile(&object).await?),
            None => None,
        };
        Ok(SourceSummary { plan, procfile })
    }

    /// The plan of a heroku.yml; `None` where there is none that builds images.
    async fn plan_of_manifest(
        &self,
        commit: &str,
        choices: &BuildChoices,
        file: Option<Object>,
    ) -> Result<Option<BuildPlan>, SourceError> {
        let Some(file) = file else { return Ok(None) };
        let text = self.text(&file).await?.ok_or(SourceError::NoManifest)?;
        let Some(manifest) = heroku_yml::parse(&text, choices.dockerfile.build_args)? else {
            return Ok(None);
        };
        let paths = manifest.images.iter().map(|image| choices.project.join(image.path.as_str()));
        let paths: Vec<_> = paths.collect();
        let asked: Vec<_> = paths.iter().map(|path| format!("{commit}:{path}")).collect();
        let objects = self.objects(&asked).await.map_err(SourceError::Git)?;
        let found = paths.iter().zip(objects);
        let found = found.filter(|(_, object)| object.as_ref().is_some_and(|it| it.kind == "blob"));
        let found: BTreeSet<_> = found.map(|(path, _)| path.as_str()).collect();
        Ok(Some(choices.plan_of_manifest(manifest, |path| found.contains(path))?))
    }

    /// The part of a project.toml that is about buildpacks, if there is one.
    async fn descriptor(&self, file: Option<Object>) -> Result<Option<ProjectDescriptor>, SourceError> {
        let Some(file) = file else { return Ok(None) };
        let text = self.text(&file).await?.ok_or(SourceError::NoDescriptor)?;
        Ok(project_toml::parse(&text)?)
    }

    /// Files by which packs are chosen, with the texts that count.
    async fn listing(&self, found: &BTreeMap<&'static str, Object>) -> Result<SourceListing, SourceError> {
        let mut listing = SourceListing::new(found.keys().map(|path| (*path).to_owned()));
        for path in listing.wanted_texts().collect::<Vec<_>>() {
            if let Some(text) = self.text(&found[path]).await? {
                listing.add_text(path, text);
            }
        }
        Ok(listing)
    }

    async fn procfile(&self, object: &Object) -> Result<BTreeMap<ProcessType, String>, SourceError> {
        let text = self.text(object).await?.ok_or(SourceError::NoProcfile)?;
        Ok(procfile::parse(&text)?)
    }

    /// The text of a small file; `None` if it is something else.
    async fn text(&self, object: &Object) -> Result<Option<String>, SourceError> {
        if object.kind != "blob" || object.size_bytes > TEXT_BYTES_MAX {
            return Ok(None);
        }
        let command = self.command(&["cat-file", "blob", &object.id]);
        let output = self.git.answer(command).await.map_err(SourceError::Git)?;
        Ok(String::from_utf8(output.stdout).ok())
    }

    /// Looks names up; `None` where there is no such object.
    async fn objects(&self, names: &[String]) -> std::io::Result<Vec<Option<Object>>> {
        let mut git = self.command(&["cat-file", "--batch-check", "--follow-symlinks"]);
        git.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = git.start()?;
        let mut input = process.stdin().ok_or(ErrorKind::BrokenPipe)?;
        let output = process.stdout().ok_or(ErrorKind::BrokenPipe)?;
        let asked = format!("{}\n", names.join("\n"));
        let mut answers = Vec::new();
        // Both at once: either side would wait for the other with a full pipe.
        let told = async {
            input.write_all(asked.as_bytes()).await?;
            drop(input);
            Ok::<_, Error>(())
        };
        let mut output = output.take(ANSWERS_BYTES_MAX);
        let read = output.read_to_end(&mut answers);
        let both = async { tokio::try_join!(told, read) };
        tokio::time::timeout(TREE_MAX, both).await.map_err(Error::other)??;
        process.wait().await?;
        Ok(parse_objects(&answers))
    }

    /// The files of the commit as a tar stream, and where to learn afterwards why it broke off. At its end `lines` gets
    /// what the pusher should know about the files.
    pub(crate) fn archive(
        &self,
        commit: &str,
        project: &SourcePath,
        bytes_max: u64,
        lines: mpsc::Sender<Bytes>,
    ) -> Result<(engine::SourceStream, Arc<OnceLock<String>>), SourceError> {
        let folder = format!("{commit}:{}", project.as_str());
        // The root is asked for as a commit, whose time its files get.
        let tree = if project.is_root() { commit } else { &folder };
        let mut git = self.command(&["archive", "--format=tar", tree]);
        git.command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = git.start().map_err(SourceError::Git)?;
        let output = process.stdout().ok_or_else(|| SourceError::Git(ErrorKind::BrokenPipe.into()))?;
        let failure = Arc::new(OnceLock::new());
        let archive = Archive {
            process,
            output,
            left_bytes: bytes_max,
            bytes_max,
            failure: Arc::clone(&failure),
            pointers: Pointers::default(),
            lines,
        };
        let pieces = try_unfold(archive, Archive::next);
        Ok((Box::pin(StreamReader::new(Box::pin(pieces))), failure))
    }

    fn command(&self, arguments: &[&str]) -> GitCommand {
        self.git.about(GitTask::Read, self.repository, self.quarantine, arguments)
    }
}

/// A `git archive` under way. Its end only counts if git exits without an error.
struct Archive {
    process: GitProcess,
    output: ChildStdout,
    left_bytes: u64,
    bytes_max: u64,
    failure: Arc<OnceLock<String>>,
    pointers: Pointers,
    lines: mpsc::Sender<Bytes>,
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
            self.pointers.add(&piece);
            return Ok(Some((piece.freeze(), self)));
        }
        if self.process.wait().await?.success() {
            for line in self.pointers.report() {
                // A receiver that is gone needs no line.
                let _ = self.lines.send(Bytes::from(line + "\n")).await;
            }
            Ok(None)
        } else {
            Err(self.failed(
                "git cannot read the files of the commit within its limits of memory and time; leave big files out of \
                 the repository"
                    .to_owned(),
            ))
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
