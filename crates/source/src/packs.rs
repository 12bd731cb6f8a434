//! Packs of the stack: files by which a source is recognized, and the tool chains that its build needs.
//!
//! The builder decides by it about the image of a build before the build begins, `slug` about the packs that build, and
//! the client about what a push would do.

use std::collections::{BTreeMap, BTreeSet};

/// A pack of the stack.
#[derive(Debug, PartialEq, Eq)]
pub struct Pack {
    /// Name of its folder without the number, by which users select it.
    pub name: &'static str,
    /// The name that a push prints.
    pub language: &'static str,
    /// Tool chains of the stack that it needs.
    pub toolchains: &'static [&'static str],
    /// Files of which one is enough.
    files: &'static [&'static str],
    /// A file that is enough if its content is of the right kind.
    content: Option<ContentRule>,
}

/// A file and the test that its text must pass.
type ContentRule = (&'static str, fn(&str) -> bool);

/// All packs, in the order of detection.
pub const PACKS: &[Pack] = &[
    Pack { name: "ruby", language: "Ruby", toolchains: &["ruby"], files: &["Gemfile"], content: None },
    Pack {
        name: "go",
        language: "Go",
        toolchains: &[],
        files: &[
            "go.mod",
            "go.work",
            "Gopkg.lock",
            "Godeps/Godeps.json",
            "vendor/vendor.json",
            "glide.yaml",
            ".godir",
        ],
        content: None,
    },
    Pack { name: "nodejs", language: "Node.js", toolchains: &[], files: &["package.json"], content: None },
    Pack {
        name: "python",
        language: "Python",
        toolchains: &["python"],
        files: &["requirements.txt", "uv.lock", "poetry.lock", "Pipfile.lock", "Pipfile", "setup.py"],
        content: Some(("pyproject.toml", is_python_project)),
    },
    Pack {
        name: "java",
        language: "Java",
        toolchains: &["java"],
        files: &[
            "pom.xml",
            "gradlew",
            "build.gradle",
            "build.gradle.kts",
            "settings.gradle",
            "settings.gradle.kts",
        ],
        content: None,
    },
    Pack {
        name: "php",
        language: "PHP",
        toolchains: &["php"],
        files: &["composer.json", "index.php"],
        content: None,
    },
    Pack { name: "rust", language: "Rust", toolchains: &["rust"], files: &["Cargo.toml"], content: None },
    Pack {
        name: "deno",
        language: "Deno",
        toolchains: &[],
        files: &["deno.json", "deno.jsonc", "deno.lock"],
        content: None,
    },
    Pack {
        name: "static",
        language: "Static",
        toolchains: &[],
        files: &["Staticfile", "static.json", "index.html", "public/index.html"],
        content: None,
    },
    Pack { name: PROCFILE, language: "Procfile", toolchains: &[], files: &["Procfile"], content: None },
];

/// A file with a pack in each line, which run in turn.
pub const LIST: &str = ".buildpacks";
/// The pack that knows the app only by its Procfile.
pub const PROCFILE: &str = "procfile";

/// Files by which languages are recognized that no pack of the stack is for.
const FOREIGN: &[(&str, &str)] = &[
    ("build.sbt", "Scala"),
    ("project.clj", "Clojure"),
    ("mix.exs", "Elixir"),
    ("rebar.config", "Erlang"),
    ("Package.swift", "Swift"),
    ("pubspec.yaml", "Dart"),
    ("cpanfile", "Perl"),
];

/// A pyproject.toml that only configures tools is no project.
fn is_python_project(text: &str) -> bool {
    text.lines().map(str::trim_end).any(|line| ["[project]", "[tool.poetry]"].contains(&line))
}

/// Names of a source's files, and the texts that detection reads.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SourceListing {
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

/// Paths of all files by which anything is recognized.
pub fn candidates() -> impl Iterator<Item = &'static str> {
    let of_packs =
        PACKS.iter().flat_map(|pack| pack.files.iter().copied().chain(pack.content.map(|(file, _)| file)));
    of_packs.chain(FOREIGN.iter().map(|(file, _)| *file)).chain([LIST])
}

impl SourceListing {
    /// Takes those of the [`candidates`] that exist; their paths are from the folder of the app.
    pub fn new(paths: impl IntoIterator<Item = String>) -> Self {
        Self { paths: paths.into_iter().collect(), texts: BTreeMap::new() }
    }

    /// Files that are there and whose texts detection reads.
    pub fn wanted_texts(&self) -> impl Iterator<Item = &'static str> {
        PACKS
            .iter()
            .filter_map(|pack| pack.content)
            .map(|(path, _)| path)
            .filter(|path| self.paths.contains(*path))
    }

    pub fn add_text(&mut self, path: &str, text: String) {
        self.texts.insert(path.to_owned(), text);
    }

    /// Returns true if the source has a list of packs.
    pub fn has_list(&self) -> bool {
        self.paths.contains(LIST)
    }

    /// A file that shows the language of the source, and that language, whether a stack has a pack for it or not.
    pub fn language(&self) -> Option<(&'static str, &'static str)> {
        let servers = || detect(self).into_iter().find(|detected| detected.pack.is_of_language());
        let foreign = FOREIGN.iter().find(|(file, _)| self.paths.contains(*file)).copied();
        foreign.or_else(|| servers().map(|detected| (detected.file, detected.pack.language)))
    }
}

/// A pack that fits a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detected {
    pub pack: &'static Pack,
    /// The file that decided.
    pub file: &'static str,
}

impl Pack {
    /// Returns true if the pack is for programs of a language, which others at its side may serve.
    pub fn is_of_language(&self) -> bool {
        !["static", PROCFILE].contains(&self.name)
    }

    /// Finds the file by which this pack fits.
    pub fn fits(&'static self, source: &SourceListing) -> Option<Detected> {
        let by_name = self.files.iter().find(|file| source.paths.contains(**file)).copied();
        let by_content = || {
            let (file, is_enough) = self.content?;
            is_enough(source.texts.get(file)?).then_some(file)
        };
        by_name.or_else(by_content).map(|file| Detected { pack: self, file })
    }
}

/// Finds a pack by its name.
pub fn find(name: &str) -> Option<&'static Pack> {
    PACKS.iter().find(|pack| pack.name == name)
}

/// The name of a pack of the stack for a name of Heroku's registry of buildpacks, such as `heroku/python`; other texts stay.
pub fn own_name(text: &str) -> &str {
    let name = text.strip_prefix("heroku/").or_else(|| text.strip_prefix("heroku-community/"));
    match name.unwrap_or(text) {
        "gradle" | "jvm" => "java",
        name if find(name).is_some() => name,
        _ => text,
    }
}

/// All packs that fit a source; the first one builds it.
pub fn detect(source: &SourceListing) -> Vec<Detected> {
    PACKS.iter().filter_map(|pack| pack.fits(source)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(paths: &[&str]) -> SourceListing {
        SourceListing::new(paths.iter().map(|path| (*path).to_owned()))
    }

    fn detected(paths: &[&str]) -> Vec<(&'static str, &'static str)> {
        detect(&listing(paths)).into_iter().map(|detected| (detected.pack.name, detected.file)).collect()
    }

    #[test]
    fn the_first_of_several_packs_is_that_of_the_server() {
        assert_eq!(detected(&["Gemfile", "package.json"])[0], ("ruby", "Gemfile"));
        assert_eq!(
            detected(&["requirements.txt", "package.json"]),
            [("nodejs", "package.json"), ("python", "requirements.txt")]
        );
        assert_eq!(detected(&["index.php", "index.html", "Procfile"])[0], ("php", "index.php"));
        assert_eq!(
            detected(&["Cargo.toml", "static.json", "Procfile"]),
            [("rust", "Cargo.toml"), ("static", "static.json"), ("procfile", "Procfile")]
        );
    }

    #[test]
    fn every_form_of_a_manifest_is_recognized() {
        for (file, pack) in [
            ("Pipfile", "python"),
            ("poetry.lock", "python"),
            ("setup.py", "python"),
            ("Godeps/Godeps.json", "go"),
            (".godir", "go"),
            ("build.gradle.kts", "java"),
            ("deno.jsonc", "deno"),
            ("public/index.html", "static"),
        ] {
            assert_eq!(detected(&[file]), [(pack, file)], "{file}");
        }
        assert_eq!(detected(&["app.py", "README.md", "docs/index.html"]), []);
    }

    #[test]
    fn a_pyproject_that_only_configures_tools_is_no_project() {
        for (text, fits) in [
            ("[project]\nname = \"x\"\n", true),
            ("[build-system]\r\n\r\n[tool.poetry]\r\n", true),
            ("[tool.ruff]\nline-length = 100\n# [project]\n", false),
        ] {
            let mut source = listing(&["pyproject.toml"]);
            assert_eq!(source.wanted_texts().collect::<Vec<_>>(), ["pyproject.toml"]);
            source.add_text("pyproject.toml", text.to_owned());
            assert_eq!(detect(&source).len(), usize::from(fits), "{text}");
        }
        assert!(detect(&listing(&["pyproject.toml"])).is_empty());
    }

    #[test]
    fn names_of_herokus_buildpacks_mean_packs_of_the_stack() {
        for (given, name) in [
            ("heroku/python", "python"),
            ("heroku/gradle", "java"),
            ("heroku-community/static", "static"),
            ("go", "go"),
            ("heroku/clojure", "heroku/clojure"),
            ("https://git.example/heroku/python", "https://git.example/heroku/python"),
        ] {
            assert_eq!(own_name(given), name);
        }
    }

    #[test]
    fn the_language_of_a_source_is_that_of_its_server() {
        for (paths, language) in [
            (&["mix.exs", "package.json", "Procfile"][..], Some(("mix.exs", "Elixir"))),
            (&["Gemfile", "index.html"], Some(("Gemfile", "Ruby"))),
            (&["index.html", "Procfile"], None),
        ] {
            assert_eq!(listing(paths).language(), language, "{paths:?}");
        }
    }
}
