//! The document: CycloneDX 1.6 as JSON. The same release always gives the same document.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Distribution, Inventory, Package, PackageKind};
use crate::{AppName, Digest};

/// The release that a document describes.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    pub app: &'a AppName,
    pub version: u64,
    /// Its UUID, which is the document's too.
    pub uuid: &'a str,
    /// RFC 3339.
    pub created: &'a str,
}

/// An image of the release with its content.
#[derive(Debug, Clone)]
pub struct ImageContent<'a> {
    pub name: String,
    pub digest: Digest,
    pub inventory: &'a Inventory,
}

/// Makes the document: the release depends on its images, these on their packages.
pub fn document(subject: &Subject<'_>, images: &[ImageContent<'_>]) -> Value {
    let Subject { app, version, uuid, created } = subject;
    let root = format!("{app}@v{version}");
    let mut components = BTreeMap::new();
    let mut dependencies = Vec::new();
    for ImageContent { name, digest, inventory } in images {
        let reference = digest.to_string();
        components.insert(
            reference.clone(),
            json!({"type": "container", "bom-ref": reference, "name": name, "version": reference}),
        );
        let distribution = inventory.distribution.as_ref();
        let content: BTreeMap<String, Value> = distribution
            .map(operating_system)
            .into_iter()
            .chain(inventory.packages.iter().map(|package| library(package, distribution)))
            .collect();
        dependencies.push(json!({"ref": reference, "dependsOn": content.keys().collect::<Vec<_>>()}));
        components.extend(content);
    }
    let references: Vec<_> = images.iter().map(|image| image.digest.as_str()).collect();
    dependencies.insert(0, json!({"ref": root, "dependsOn": references}));
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{uuid}"),
        "version": 1,
        "metadata": {
            "timestamp": created,
            "tools": {"components": [{"type": "application", "name": "workflow"}]},
            "component": {"type": "application", "bom-ref": root, "name": app.as_str(), "version": format!("v{version}")},
        },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies,
        // Programs that no package manager installed are not known.
        "compositions": [{"aggregate": "incomplete", "assemblies": [root]}],
    })
}

fn operating_system(Distribution { id, version }: &Distribution) -> (String, Value) {
    let reference = format!("os:{id}@{version}");
    let mut component = json!({"type": "operating-system", "bom-ref": reference, "name": id});
    if !version.is_empty() {
        component["version"] = json!(version);
    }
    (reference, component)
}

fn library(package: &Package, distribution: Option<&Distribution>) -> (String, Value) {
    let Package { name, version, .. } = package;
    let purl = purl(package, distribution);
    let reference = purl.clone().unwrap_or_else(|| format!("jar:{name}@{version}"));
    let mut component = json!({"type": "library", "bom-ref": reference, "name": name, "version": version});
    if let Some(purl) = purl {
        component["purl"] = json!(purl);
    }
    (reference, component)
}

/// Package URL (purl specification); `None` where a part that it requires is not known.
fn purl(package: &Package, distribution: Option<&Distribution>) -> Option<String> {
    let Package { kind, name, version, architecture } = package;
    let of_distribution = |default: &str| distribution.map_or(default.to_owned(), |it| it.id.clone());
    let (prefix, name) = match kind {
        PackageKind::Deb => (format!("deb/{}", of_distribution("debian")), name.clone()),
        PackageKind::Apk => (format!("apk/{}", of_distribution("alpine")), name.to_lowercase()),
        PackageKind::Cargo => ("cargo".to_owned(), name.clone()),
        PackageKind::Composer => ("composer".to_owned(), name.to_lowercase()),
        PackageKind::Gem => ("gem".to_owned(), name.clone()),
        PackageKind::Golang => ("golang".to_owned(), name.to_lowercase()),
        PackageKind::Npm => ("npm".to_owned(), name.clone()),
        PackageKind::Pypi => ("pypi".to_owned(), name.to_lowercase().replace('_', "-")),
        PackageKind::Jar => return None,
    };
    let name: Vec<_> = name.split('/').map(encoded).collect();
    let mut purl = format!("pkg:{prefix}/{}@{}", name.join("/"), encoded(version));
    if let Some(architecture) = architecture {
        let _ = write!(purl, "?arch={}", encoded(architecture));
        if let Some(Distribution { id, version }) = distribution.filter(|it| !it.version.is_empty()) {
            let _ = write!(purl, "&distro={id}-{}", encoded(version));
        }
    }
    Some(purl)
}

/// Percent-encodes all but what package URLs leave.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                encoded.push(byte.into());
            }
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(kind: PackageKind, name: &str, version: &str) -> Package {
        Package::new(kind, name, version).expect("it has a name and a version")
    }

    #[test]
    fn each_kind_has_its_package_url() {
        let debian = Distribution { id: "debian".to_owned(), version: "13".to_owned() };
        let libc = Package {
            architecture: Some("amd64".to_owned()),
            ..package(PackageKind::Deb, "libstdc++6", "1:14.2.0-19+b1")
        };
        assert_eq!(
            purl(&libc, Some(&debian)).as_deref(),
            Some("pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19%2Bb1?arch=amd64&distro=debian-13")
        );
        let cases = [
            (PackageKind::Npm, "@babel/core", "7.28.0", "pkg:npm/%40babel/core@7.28.0"),
            (PackageKind::Pypi, "Typing_Extensions", "4.14.1", "pkg:pypi/typing-extensions@4.14.1"),
            (
                PackageKind::Golang,
                "github.com/Go-Chi/chi/v5",
                "v5.2.2",
                "pkg:golang/github.com/go-chi/chi/v5@v5.2.2",
            ),
            (PackageKind::Composer, "Monolog/monolog", "3.9.0", "pkg:composer/monolog/monolog@3.9.0"),
            (PackageKind::Cargo, "serde", "1.0.219", "pkg:cargo/serde@1.0.219"),
            (PackageKind::Gem, "rack", "3.1.16", "pkg:gem/rack@3.1.16"),
            (PackageKind::Apk, "musl", "1.2.5-r9", "pkg:apk/alpine/musl@1.2.5-r9"),
        ];
        for (kind, name, version, wanted) in cases {
            assert_eq!(purl(&package(kind, name, version), None).as_deref(), Some(wanted));
        }
        assert_eq!(purl(&package(PackageKind::Jar, "x", "1"), None), None);
    }

    #[test]
    fn a_document_has_the_images_of_a_release_and_each_package_once() {
        let app = AppName::parse("blog").expect("a name");
        let subject = Subject { app: &app, version: 3, uuid: "u", created: "2026-01-02T03:04:05Z" };
        let distribution = Some(Distribution { id: "debian".to_owned(), version: "13".to_owned() });
        let inventory = |versions: &[&str]| Inventory {
            distribution: distribution.clone(),
            packages: versions.iter().map(|version| package(PackageKind::Jar, "a", version)).collect(),
        };
        let (web, worker) = (inventory(&["1", "2"]), inventory(&["2"]));
        let image = |name: &str, inventory| ImageContent {
            name: name.to_owned(),
            digest: Digest::of(name.as_bytes()),
            inventory,
        };

        let document = document(&subject, &[image("web", &web), image("worker", &worker)]);

        let references: Vec<_> = document["components"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|component| component["bom-ref"].as_str().expect("a text").split_at(5).0)
            .collect();
        assert_eq!(references, ["jar:a", "jar:a", "os:de", "sha25", "sha25"]);
        assert_eq!(document["metadata"]["component"]["bom-ref"], "blog@v3");
        assert_eq!(document["dependencies"][0]["dependsOn"].as_array().map(Vec::len), Some(2));
        assert_eq!(document["dependencies"][2]["dependsOn"], json!(["jar:a@2", "os:debian@13"]));
    }
}
