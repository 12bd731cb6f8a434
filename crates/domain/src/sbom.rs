//! Software bills of materials: the packages of an image, by the files that package managers leave in it.
//!
//! An engine reads the layers of the image, [`layers`] says what of them is seen from the top, [`files`] reads the
//! records of package managers, and [`cyclonedx`] writes the document.

pub mod cyclonedx;
pub mod files;
pub mod golang;
pub mod layers;

use std::collections::BTreeSet;

/// Most packages of an image.
pub const PACKAGES_MAX: usize = 50_000;
/// Longest name and longest version; longer ones are none.
const TEXT_BYTES_MAX: usize = 256;

/// Kind of a package, as package URLs name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageKind {
    Deb,
    Apk,
    Cargo,
    Composer,
    Gem,
    Golang,
    /// A file of Java's. It has no package URL: its name lacks the group.
    Jar,
    Npm,
    Pypi,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub kind: PackageKind,
    pub name: String,
    pub version: String,
    /// Of packages of a distribution.
    pub architecture: Option<String>,
}

impl Package {
    /// A package; `None` if name or version are missing, too long or not printable.
    pub fn new(kind: PackageKind, name: &str, version: &str) -> Option<Self> {
        let is_good = |text: &str| {
            !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
        };
        let (name, version) = (name.trim(), version.trim());
        (is_good(name) && is_good(version)).then(|| Self {
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: None,
        })
    }
}

/// Distribution of an image, from `os-release`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Distribution {
    /// Such as `debian`.
    pub id: String,
    /// Such as `13`; empty for distributions without versions.
    pub version: String,
}

/// Content of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    pub distribution: Option<Distribution>,
    pub packages: BTreeSet<Package>,
}
