//! The apps of `examples/` as samples of what people bring: how each is pushed, and what it answers.

use std::path::{Path, PathBuf};

use crate::mirror::Mirror;
use crate::{CommandOutput, GitServer, Platform, User, checkout};

/// Where the packages of a sample come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registries {
    /// From the language's own registries, or it has none.
    Own,
    /// Its language has a registry that tests do not reach: no packages, or a mirror that the test runs.
    Mirror,
}

/// An app of `examples/`.
#[derive(Debug)]
pub struct Sample {
    /// Its folder, which is the name of the app too.
    pub folder: &'static str,
    pub registries: Registries,
    /// Text in the output of a push.
    pub said: &'static str,
    /// Text in the response to `/`, with the language's version where the app knows it.
    pub answer: &'static str,
    /// A file and a text in it that the response shows, with the word `example`.
    pub line: (&'static str, &'static str),
}

const fn whole(
    folder: &'static str,
    said: &'static str,
    answer: &'static str,
    line: (&'static str, &'static str),
) -> Sample {
    Sample { folder, registries: Registries::Own, said, answer, line }
}

const fn by_mirror(
    folder: &'static str,
    said: &'static str,
    answer: &'static str,
    line: (&'static str, &'static str),
) -> Sample {
    Sample { folder, registries: Registries::Mirror, said, answer, line }
}

const GO: &str = "Go app detected";
const JAVA: &str = "Java app detected";
const NODE: &str = "Node.js app detected";
const PHP: &str = "PHP app detected";
const PYTHON: &str = "Python app detected";
const RUBY: &str = "Ruby app detected";
const RUST: &str = "Rust app detected";

/// All of them.
pub const SAMPLES: &[Sample] = &[
    whole("bun-hono", NODE, "bun-hono example on Bun 1.", ("server.ts", "bun-hono example")),
    whole(
        "cnb-app",
        "Building with Cloud Native Buildpacks",
        "cnb-app example, powered by Deis Workflow",
        ("serve.sh", "cnb-app example"),
    ),
    whole(
        "custom-buildpack",
        "Counting builds",
        "hello from the custom-buildpack example",
        ("greeting.tmpl", "custom-buildpack example"),
    ),
    whole("deno-hono", "Deno app detected", "deno-hono example on Deno 2.", ("main.ts", "deno-hono example")),
    whole(
        "deno-serve",
        "Deno app detected",
        "deno-serve example on Deno 2.",
        ("main.ts", "deno-serve example"),
    ),
    whole("dockerfile", "Build complete", "dockerfile example", ("server.py", "dockerfile example")),
    whole("go", GO, "go example, powered by Deis Workflow", ("main.go", "go example")),
    whole("go-chi", GO, "go-chi example on go1.", ("main.go", "go-chi example")),
    whole(
        "go-gopath",
        "building example.org/go-gopath below a GOPATH",
        "go-gopath example, powered by Deis Workflow on go1.",
        ("vendor/example.org/greeting/greeting.go", "%s example"),
    ),
    whole(
        "go-workspace",
        GO,
        "go-workspace example, powered by Deis Workflow on go1.",
        ("greeting/greeting.go", "%s example"),
    ),
    whole(
        "java-jdk",
        JAVA,
        "java-jdk example, powered by Deis Workflow on Java 2",
        ("src/main/java/example/Main.java", "java-jdk example"),
    ),
    whole(
        "java-spring",
        JAVA,
        "java-spring example, powered by Deis Workflow on Java 2",
        ("src/main/java/example/Main.java", "java-spring example"),
    ),
    whole(
        "kotlin-maven",
        JAVA,
        "kotlin-maven example, powered by Deis Workflow on Kotlin 2.",
        ("src/main/kotlin/Main.kt", "kotlin-maven example"),
    ),
    whole("monorepo", NODE, "monorepo example on Node.js v", ("apps/api/server.js", "monorepo example")),
    whole("multi", "Python app detected", "multi example, built by Node.js ", ("build.js", "multi example")),
    whole("nodejs", NODE, "nodejs example, powered by Deis Workflow", ("server.js", "nodejs example")),
    whole(
        "nodejs-fastify",
        "using pnpm ",
        "nodejs-fastify example on Node.js v",
        ("src/server.ts", "nodejs-fastify example"),
    ),
    whole(
        "nodejs-hono",
        "using yarn 4",
        "nodejs-hono example on Node.js v",
        ("server.js", "nodejs-hono example"),
    ),
    whole("nodejs-koa", "using yarn 1", "nodejs-koa example on Node.js v", ("app.js", "nodejs-koa example")),
    whole(
        "nodejs-workspaces",
        NODE,
        "nodejs-workspaces example on Node.js v",
        ("packages/greeting/build.js", "} example"),
    ),
    by_mirror(
        "php-apache",
        PHP,
        "php-apache example, powered by Deis Workflow on PHP 8.",
        ("src/Page.php", "php-apache example"),
    ),
    by_mirror(
        "php-composer",
        "Downloading example/greeting",
        "php-composer example on PHP 8.",
        ("public/index.php", "php-composer example"),
    ),
    by_mirror(
        "php-nginx",
        PHP,
        "php-nginx example, powered by Deis Workflow on PHP 8.",
        ("public/index.php", "php-nginx example"),
    ),
    whole(
        "procfile",
        "Procfile declares types -> clock, web",
        "procfile example",
        ("server.py", "procfile example"),
    ),
    whole("python", PYTHON, "python example, powered by Deis Workflow", ("app.py", "python example")),
    whole(
        "python-django",
        "Collecting static files of Django",
        "python-django example on Python 3.",
        ("mysite/urls.py", "python-django example"),
    ),
    whole(
        "python-fastapi",
        PYTHON,
        "python-fastapi example on Python 3.",
        ("main.py", "python-fastapi example"),
    ),
    whole("python-flask", PYTHON, "python-flask example on Python 3.", ("app.py", "python-flask example")),
    whole(
        "python-setup",
        PYTHON,
        "python-setup example on Python 3.",
        ("hello/__init__.py", "python-setup example"),
    ),
    whole(
        "python-uv",
        PYTHON,
        "python-uv example on Python 3.",
        ("packages/greeting/src/greeting/__init__.py", "python-uv example"),
    ),
    by_mirror(
        "ruby-sinatra",
        "Installing sinatra",
        "ruby-sinatra example on Ruby 3.",
        ("app.rb", "ruby-sinatra example"),
    ),
    by_mirror(
        "ruby-socket",
        RUBY,
        "ruby-socket example, powered by Deis Workflow on Ruby 3.",
        ("server.rb", "ruby-socket example"),
    ),
    whole("rust-actix", RUST, "rust-actix example on Rust 1.", ("greeting/src/lib.rs", "rust-actix example")),
    whole(
        "rust-axum",
        RUST,
        "rust-axum example, powered by Deis Workflow on Rust 1.",
        ("src/main.rs", "rust-axum example"),
    ),
    whole(
        "static",
        "Static app detected",
        "static example, powered by Deis Workflow",
        ("public/index.html", "<h1>static example"),
    ),
    whole(
        "static-redirects",
        "Static app detected",
        "static-redirects example",
        ("public/index.html", "static-redirects example"),
    ),
    whole(
        "static-spa",
        "Static app detected",
        "static-spa example",
        ("dist/index.html", "static-spa example"),
    ),
    whole(
        "static-vite",
        "Running script build",
        "static-vite example built by Node.js v",
        ("index.html", "static-vite example"),
    ),
];

impl Sample {
    pub fn named(folder: &str) -> &'static Self {
        let found = SAMPLES.iter().find(|sample| sample.folder == folder);
        found.unwrap_or_else(|| panic!("{folder} is no sample; add it to e2e/src/samples.rs"))
    }

    /// Folder of what is pushed: of most, the folder of the example.
    pub fn source(&self) -> PathBuf {
        let folder = checkout().join("examples").join(self.folder);
        let app = folder.join("app");
        if app.is_dir() { app } else { folder }
    }

    /// Makes an app with the source of the sample and the config that it needs, for a push.
    pub fn app<'a>(&self, platform: &'a Platform, user: &'a User<'_>) -> SampleApp<'a> {
        let folder = user.app_from_folder(self.folder, &self.source());
        start_from_a_base_in_reach(platform, user, &folder);
        let (mut pack, mut mirror) = (None, None);
        let config = match self.folder {
            "custom-buildpack" => {
                let repository = user.repository("pack");
                user.copy_into(&repository, &checkout().join("examples/custom-buildpack/pack"));
                user.commit(&repository, "first");
                pack = Some(GitServer::start(user, &repository));
                pack.as_ref().map(|server| format!("BUILDPACK_URL={}#master", server.url))
            }
            "ruby-sinatra" => {
                mirror = Some(Mirror::of_gems(&folder));
                mirror.as_ref().map(|mirror| format!("BUNDLE_MIRROR__ALL={}", mirror.url))
            }
            "php-composer" => {
                mirror = Some(Mirror::of_composer(&folder));
                mirror.as_ref().map(|mirror| format!("COMPOSER_MIRROR={}", mirror.url))
            }
            "cnb-app" => {
                testkit::cnb::make_builder();
                user.deis_in(&folder, &["builder:set", testkit::cnb::BUILDER]).ok();
                None
            }
            "monorepo" => Some("PROJECT_PATH=apps/api".to_owned()),
            _ => None,
        };
        if let Some(config) = config {
            user.deis_in(&folder, &["config:set", &config]).ok();
        }
        user.commit(&folder, "locked to a mirror");
        SampleApp { user, folder, line: self.line, _pack: pack, _mirror: mirror }
    }
}

/// A sample whose app exists.
pub struct SampleApp<'a> {
    user: &'a User<'a>,
    pub folder: PathBuf,
    line: (&'static str, &'static str),
    /// Serves the pack of the sample until it ends.
    _pack: Option<GitServer>,
    /// Serves its packages.
    _mirror: Option<Mirror>,
}

impl SampleApp<'_> {
    pub fn push(&self) -> CommandOutput {
        self.user.push(&self.folder)
    }

    /// Commits one changed line, after which the response has `sample` in place of `example`.
    pub fn change_a_line(&self) {
        let (file, text) = self.line;
        let before = std::fs::read_to_string(self.folder.join(file)).expect("the sample has it");
        let after = before.replacen(text, &text.replace("example", "sample"), 1);
        self.user.change(&self.folder, &[(file, &after)]);
    }

    /// Commits without a change.
    pub fn commit_nothing(&self) {
        self.user.commit(&self.folder, "the same files");
    }
}

/// On a cluster without access to Docker Hub, the base image of the Dockerfile comes from elsewhere.
fn start_from_a_base_in_reach(platform: &Platform, user: &User<'_>, folder: &Path) {
    let Ok(dockerfile) = std::fs::read_to_string(folder.join("Dockerfile")) else { return };
    let moved = dockerfile.replace("FROM deis/stack\n", &format!("FROM {}\n", platform.stack_image()));
    if moved != dockerfile {
        user.change(folder, &[("Dockerfile", &moved)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_sample_and_its_response_can_be_changed() {
        let folders = std::fs::read_dir(checkout().join("examples")).expect("the checkout");
        let folders = folders.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
        let mut names: Vec<_> =
            folders.map(|path| path.file_name().expect("a name").to_string_lossy().into_owned()).collect();
        names.sort();

        let samples: Vec<_> = SAMPLES.iter().map(|sample| sample.folder).collect();
        assert_eq!(samples, names);
        for Sample { folder, line: (file, text), answer, .. } in SAMPLES {
            let path = Sample::named(folder).source().join(file);
            let content = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(content.contains(text) && text.contains("example"), "{}: {text:?}", path.display());
            assert!(answer.contains("example"), "{folder}");
        }
    }
}
