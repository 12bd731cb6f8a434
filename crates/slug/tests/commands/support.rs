//! A stack in a temporary folder: places for source, config and cache, and packs made of a few lines.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// A world with a source of one file and a pack that fits everything.
    pub fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().expect("temporary folder") };
        world.file("workspace/source/hello.txt", "hello\n");
        for folder in ["workspace/out", "app", "buildpacks"] {
            fs::create_dir_all(world.path(folder)).expect("folder");
        }
        world.program("buildpacks/10-any/bin/detect", "echo Any");
        world.program("buildpacks/10-any/bin/compile", "true");
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn file(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
        fs::write(path, content).expect("file");
    }

    /// A bash script.
    pub fn program(&self, name: &str, script: &str) {
        self.file(name, &format!("#!/usr/bin/env bash\n{script}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("mode");
    }

    pub fn slug(&self, command: &str) -> Command {
        let mut slug = Command::new(env!("CARGO_BIN_EXE_slug"));
        slug.arg(command).env_remove("PORT").env("HOME", self.path("app"));
        // Repositories and commits of these tests stand alone.
        slug.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        slug
    }

    pub fn build_command(&self) -> Command {
        let mut slug = self.slug("build");
        slug.arg("--workspace").arg(self.path("workspace"));
        slug.arg("--build-dir").arg(self.path("tmp/build"));
        slug.arg("--app").arg(self.path("app")).arg("--buildpacks").arg(self.path("buildpacks"));
        slug
    }

    pub fn build(&self) -> Done {
        Done::from(self.build_command().output().expect("slug starts"))
    }

    pub fn run_command(&self, words: &[&str]) -> Command {
        let mut slug = self.slug("run");
        slug.arg("--app").arg(self.path("app")).args(words);
        slug
    }

    pub fn run(&self, words: &[&str]) -> Done {
        Done::from(self.run_command(words).output().expect("slug starts"))
    }

    pub fn result(&self) -> serde_json::Value {
        let json = fs::read(self.path("workspace/out/result.json")).expect("a result");
        serde_json::from_slice(&json).expect("JSON")
    }

    /// Names of the layer's entries that are no folders.
    pub fn layer(&self) -> Vec<String> {
        let file = fs::File::open(self.path("workspace/out/layer.tar")).expect("a layer");
        let mut archive = tar::Archive::new(file);
        let names = archive.entries().expect("entries").map(|entry| {
            let entry = entry.expect("an entry");
            String::from_utf8_lossy(&entry.path_bytes()).into_owned()
        });
        names.filter(|name| !name.ends_with('/')).collect()
    }

    /// Turns a folder into a git repository with one commit and returns its URL.
    pub fn repository(&self, name: &str) -> String {
        let path = self.path(name);
        for words in [
            &["init", "--quiet", "--initial-branch", "trunk"][..],
            &["add", "."],
            &[
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@example.com",
                "commit",
                "--quiet",
                "--message",
                "first",
            ],
        ] {
            git(&path, words);
        }
        format!("file://{}", path.display())
    }
}

pub fn git(path: &Path, words: &[&str]) -> String {
    let mut git = Command::new("git");
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = git.arg("-C").arg(path).args(words).output().expect("git starts");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Result of a program.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Done {
    /// Fails the test unless the program succeeded.
    pub fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    pub fn has_line(&self, line: &str) -> bool {
        self.out.lines().any(|printed| printed == line)
    }
}
