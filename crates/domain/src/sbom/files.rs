//! The records that package managers leave in an image.
//!
//! Only what is installed counts, so a `Gemfile.lock`, which also has the gems of groups that were left out, does not.
//! Rust is the exception: a program has no trace of its crates besides its `Cargo.lock`.

use serde::Deserialize;

use super::{Distribution, PACKAGES_MAX, Package, PackageKind};

const MIB: u64 = 1 << 20;

/// A file that says which packages there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageFile {
    OsRelease,
    /// Database of dpkg, or a part of it in `status.d`.
    Dpkg,
    /// Database of apk.
    Apk,
    /// `METADATA` or `PKG-INFO` of a distribution of Python's.
    Python,
    /// `package.json` of an installed module.
    Node,
    /// `<name>-<version>.gemspec`; only its name is read.
    Gem,
    /// `composer/installed.json`.
    Composer,
    CargoLock,
    /// `<name>-<version>.jar`; only its name is read.
    Jar,
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFacts {
    pub distribution: Option<Distribution>,
    pub packages: Vec<Package>,
}

fn all(packages: impl IntoIterator<Item = Package>) -> FileFacts {
    FileFacts { distribution: None, packages: packages.into_iter().take(PACKAGES_MAX + 1).collect() }
}

impl PackageFile {
    /// The file at this path, which has no slash at its ends; `None` for files without packages.
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "etc/os-release" | "usr/lib/os-release" => return Some(Self::OsRelease),
            "var/lib/dpkg/status" => return Some(Self::Dpkg),
            "lib/apk/db/installed" | "usr/lib/apk/db/installed" => return Some(Self::Apk),
            _ => {}
        }
        if let Some(name) = path.strip_prefix("var/lib/dpkg/status.d/") {
            return (!name.ends_with(".md5sums")).then_some(Self::Dpkg);
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        match name {
            "METADATA" if folder.ends_with(".dist-info") => Some(Self::Python),
            "PKG-INFO" if folder.ends_with(".egg-info") => Some(Self::Python),
            "package.json" if is_module(folder) => Some(Self::Node),
            "installed.json" if folder.ends_with("vendor/composer") => Some(Self::Composer),
            "Cargo.lock" => Some(Self::CargoLock),
            _ if name.ends_with(".gemspec") && folder.ends_with("/specifications") => Some(Self::Gem),
            _ if name.ends_with(".jar") => Some(Self::Jar),
            _ => None,
        }
    }

    /// Most bytes of its content; of larger files nothing is known.
    pub fn bytes_max(self) -> u64 {
        match self {
            Self::Gem | Self::Jar => 0,
            Self::OsRelease => MIB / 16,
            Self::Python | Self::Node => MIB,
            Self::Composer => 4 * MIB,
            Self::Dpkg | Self::Apk | Self::CargoLock => 16 * MIB,
        }
    }

    /// Packages of the file; none if it is damaged. It may be one more than [`PACKAGES_MAX`], never two.
    pub fn read(self, path: &str, content: &[u8]) -> FileFacts {
        let text = String::from_utf8_lossy(content);
        let name = path.rsplit('/').next().unwrap_or(path);
        match self {
            Self::OsRelease => FileFacts { distribution: distribution(&text), packages: Vec::new() },
            Self::Dpkg => all(stanzas(&text).filter_map(deb)),
            Self::Apk => all(stanzas(&text).filter_map(apk)),
            Self::Python => all(python(&text)),
            Self::Node => all(node(content)),
            Self::Gem => all(named(PackageKind::Gem, name, ".gemspec")),
            Self::Composer => all(composer(content)),
            Self::CargoLock => all(text.split("[[package]]").skip(1).filter_map(cargo)),
            Self::Jar => all(named(PackageKind::Jar, name, ".jar")),
        }
    }
}

/// Returns true for `…/node_modules/<name>` and `…/node_modules/@<scope>/<name>`.
fn is_module(folder: &str) -> bool {
    let mut parts = folder.rsplit('/').skip(1);
    match parts.next() {
        Some("node_modules") => true,
        Some(scope) if scope.starts_with('@') => parts.next() == Some("node_modules"),
        _ => false,
    }
}

fn distribution(text: &str) -> Option<Distribution> {
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut found =
            lines.filter(|(name, _)| *name == key).map(|(_, value)| value.trim_matches(['"', '\'']));
        found.next().filter(|value| value.len() <= 64).map(str::to_owned)
    };
    let is_word =
        |id: &String| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let id = value("ID").filter(is_word)?;
    Some(Distribution { id, version: value("VERSION_ID").unwrap_or_default() })
}

/// Paragraphs, which empty lines divide.
fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(str::trim).filter(|stanza| !stanza.is_empty())
}

/// Value of the first line `<key><value>`.
fn field<'a>(stanza: &'a str, key: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// A package that is removed may still have its configuration, and then an entry.
fn deb(stanza: &str) -> Option<Package> {
    let is_installed = field(stanza, "Status:").is_none_or(|status| status.ends_with(" installed"));
    let package = Package::new(PackageKind::Deb, field(stanza, "Package:")?, field(stanza, "Version:")?)?;
    let architecture = field(stanza, "Architecture:").map(str::to_owned);
    is_installed.then_some(Package { architecture, ..package })
}

fn apk(stanza: &str) -> Option<Package> {
    let package = Package::new(PackageKind::Apk, field(stanza, "P:")?, field(stanza, "V:")?)?;
    Some(Package { architecture: field(stanza, "A:").map(str::to_owned), ..package })
}

/// The head of the file is as that of a message.
fn python(text: &str) -> Option<Package> {
    let text = text.split("\r\n\r\n").next().unwrap_or(text);
    let head = text.split("\n\n").next().unwrap_or(text);
    Package::new(PackageKind::Pypi, field(head, "Name:")?, field(head, "Version:")?)
}

/// Name and version in JSON of npm and Composer.
#[derive(Deserialize)]
struct Named {
    name: String,
    version: String,
}

impl Named {
    fn package(&self, kind: PackageKind) -> Option<Package> {
        Package::new(kind, &self.name, &self.version)
    }
}

fn node(content: &[u8]) -> Option<Package> {
    serde_json::from_slice::<Named>(content).ok()?.package(PackageKind::Npm)
}

/// Version 2 of Composer has an object around the list.
fn composer(content: &[u8]) -> impl Iterator<Item = Package> {
    #[derive(Deserialize)]
    struct Installed {
        packages: Vec<Named>,
    }
    let packages = serde_json::from_slice(content)
        .or_else(|_| serde_json::from_slice(content).map(|Installed { packages }| packages));
    let packages: Vec<Named> = packages.unwrap_or_default();
    packages.into_iter().filter_map(|named| named.package(PackageKind::Composer))
}

/// Crates of the app itself have no source.
fn cargo(section: &str) -> Option<Package> {
    let section = section.split("\n[").next().unwrap_or(section);
    let value = |key: &str| field(section, key)?.strip_prefix("= \"")?.strip_suffix('"');
    value("source ")?;
    Package::new(PackageKind::Cargo, value("name ")?, value("version ")?)
}

/// Name and version of a file `<name>-<version><suffix>`; the version begins at the first digit behind a hyphen.
fn named(kind: PackageKind, file: &str, suffix: &str) -> Option<Package> {
    let stem = file.strip_suffix(suffix)?;
    let starts = stem.match_indices('-').map(|(place, _)| place);
    let mut versions = starts.filter(|place| stem.as_bytes().get(place + 1).is_some_and(u8::is_ascii_digit));
    let place = versions.next()?;
    Package::new(kind, &stem[..place], &stem[place + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name and version of each package in a file.
    fn packages(path: &str, content: &str) -> Vec<(String, String)> {
        let file = PackageFile::at(path).unwrap_or_else(|| panic!("{path} has packages"));
        let facts = file.read(path, content.as_bytes());
        facts.packages.into_iter().map(|package| (package.name, package.version)).collect()
    }

    fn pair(name: &str, version: &str) -> (String, String) {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn dpkg_lists_what_is_installed_and_not_what_was_removed() {
        let status = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\n\
            Version: 2.41-12\nDescription: GNU C Library\n with a second line\n .\n Version: not this\n\n\
            Package: nano\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 8.4-1\n\n\
            Package: tzdata\nStatus: hold ok installed\nArchitecture: all\nVersion: 1:2025b-4\n";
        assert_eq!(
            packages("var/lib/dpkg/status", status),
            [pair("libc6", "2.41-12"), pair("tzdata", "1:2025b-4")]
        );
        // A part of the database, as in distroless images, need not have a status.
        let part = "Package: ruby3.3\nVersion: 3.3.8-2\nArchitecture: amd64\n";
        assert_eq!(packages("var/lib/dpkg/status.d/ruby3.3", part), [pair("ruby3.3", "3.3.8-2")]);
        assert_eq!(PackageFile::at("var/lib/dpkg/status.d/ruby3.3.md5sums"), None);
    }

    #[test]
    fn apk_lists_packages_with_their_architecture() {
        let installed = "C:Q1abc=\nP:musl\nV:1.2.5-r9\nA:x86_64\nS:407278\nF:lib\nR:ld-musl-x86_64.so.1\n\n\
            C:Q1def=\nP:zlib\nV:1.3.1-r2\nA:x86_64\n\n";
        assert_eq!(
            packages("lib/apk/db/installed", installed),
            [pair("musl", "1.2.5-r9"), pair("zlib", "1.3.1-r2")]
        );
        let facts = PackageFile::Apk.read("lib/apk/db/installed", installed.as_bytes());
        assert_eq!(facts.packages[0].architecture.as_deref(), Some("x86_64"));
    }

    #[test]
    fn the_distribution_is_that_of_os_release() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_ID=\"13\"\nID=debian\n";
        let facts = PackageFile::OsRelease.read("etc/os-release", debian.as_bytes());
        let wanted = Distribution { id: "debian".to_owned(), version: "13".to_owned() };
        assert_eq!(facts.distribution, Some(wanted));
        for none in ["", "ID=\"a b\"\n", "NAME=x\n"] {
            assert_eq!(distribution(none), None, "{none}");
        }
    }

    #[test]
    fn a_distribution_of_python_has_name_and_version_in_the_head() {
        let metadata = "Metadata-Version: 2.4\nName: Flask\nVersion: 3.1.1\nRequires-Dist: click\n\n\
            # Flask\n\nName: other\nVersion: 0\n";
        let path = "app/.venv/lib/python3.13/site-packages/flask-3.1.1.dist-info/METADATA";
        assert_eq!(packages(path, metadata), [pair("Flask", "3.1.1")]);
        assert_eq!(packages("usr/lib/x.egg-info/PKG-INFO", "Name: x\r\nVersion: 1\r\n"), [pair("x", "1")]);
        assert_eq!(PackageFile::at("app/METADATA"), None);
    }

    #[test]
    fn a_module_of_node_is_where_node_modules_has_it() {
        let module = r#"{"name":"@babel/core","version":"7.28.0","dependencies":{"x":"1"}}"#;
        assert_eq!(
            packages("app/node_modules/@babel/core/package.json", module),
            [pair("@babel/core", "7.28.0")]
        );
        assert_eq!(PackageFile::at("node_modules/a/package.json"), Some(PackageFile::Node));
        for other in ["app/package.json", "app/node_modules/a/test/package.json", "app/src/@a/b/package.json"]
        {
            assert_eq!(PackageFile::at(other), None, "{other}");
        }
        assert_eq!(packages("node_modules/a/package.json", r#"{"type":"module"}"#), []);
        assert_eq!(packages("node_modules/a/package.json", "{"), []);
    }

    #[test]
    fn gems_and_jars_are_told_by_their_file_names() {
        let gems = [
            ("rack-3.1.16.gemspec", "rack", "3.1.16"),
            ("net-http-0.6.0.gemspec", "net-http", "0.6.0"),
            ("nokogiri-1.18.9-x86_64-linux-gnu.gemspec", "nokogiri", "1.18.9-x86_64-linux-gnu"),
        ];
        for (file, name, version) in gems {
            let path = format!("app/vendor/bundle/ruby/3.3.0/specifications/{file}");
            assert_eq!(packages(&path, ""), [pair(name, version)]);
        }
        let jar = "app/target/lib/jackson-core-2.19.1.jar";
        assert_eq!(packages(jar, ""), [pair("jackson-core", "2.19.1")]);
        assert_eq!(packages("app/app.jar", ""), []);
        assert_eq!(PackageFile::at("app/rack.gemspec"), None);
    }

    #[test]
    fn composer_lists_packages_in_both_of_its_forms() {
        let list = r#"[{"name":"monolog/monolog","version":"3.9.0","source":{"type":"git"}}]"#;
        let object = format!(r#"{{"packages":{list},"dev":false}}"#);
        for content in [list, &object] {
            let found = packages("app/vendor/composer/installed.json", content);
            assert_eq!(found, [pair("monolog/monolog", "3.9.0")]);
        }
    }

    #[test]
    fn crates_are_those_with_a_source() {
        let lock = "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"serde\",\n]\n\n\
            [[package]]\nname = \"serde\"\nversion = \"1.0.219\"\n\
            source = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"5f\"\n";
        assert_eq!(packages("app/Cargo.lock", lock), [pair("serde", "1.0.219")]);
    }

    #[test]
    fn names_that_nobody_could_print_are_none() {
        assert_eq!(Package::new(PackageKind::Npm, "a\u{1b}[2J", "1"), None);
        assert_eq!(Package::new(PackageKind::Npm, &"a".repeat(300), "1"), None);
        assert_eq!(Package::new(PackageKind::Npm, "a", " "), None);
    }
}
