//! Which programs the cluster is made of, and at which versions; and one more that tests need, built alike.
//!
//! The pins are Go modules in `xtask/cluster/`, one a group, with `go.mod` and `go.sum`: a version is raised
//! there with `go get`, and nothing here has to follow.

use std::path::PathBuf;

use anyhow::Context as _;
use sha2::Digest as _;

use crate::{images::archive, paths};

/// Programs of one Go module.
#[derive(Debug)]
pub struct Group {
    /// Folder of the pins.
    pub name: &'static str,
    /// The module that has the programs; its version is theirs.
    pub module: &'static str,
    /// Each program's name and package.
    pub programs: &'static [(&'static str, &'static str)],
    /// What tells the programs their version, which Go does only for the main module.
    /// `VERSION`, `MAJOR` and `MINOR` stand for the module's.
    stamp: &'static str,
}

/// All that is built, in the order in which a cold build reaches something that can be used.
pub const GROUPS: &[&Group] = &[&ETCD, &KUBERNETES, &COREDNS, &METRICS_SERVER, &REGISTRY, &HELM];

/// What tests need beside it and is no part of a cluster: built when it is asked for.
pub const TOOLS: &[&Group] = &[&H2SPEC, &PEBBLE];

/// Holds HTTP/2 to its rules.
pub const H2SPEC: Group = Group {
    name: "h2spec",
    module: "github.com/summerwind/h2spec",
    programs: &[("h2spec", "github.com/summerwind/h2spec/cmd/h2spec")],
    stamp: "",
};

pub const ETCD: Group = Group {
    name: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
    stamp: "",
};

pub const KUBERNETES: Group = Group {
    name: "kubernetes",
    module: "k8s.io/kubernetes",
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ],
    // Clients decide by the server's version what they may use; unstamped it is 0.0.0.
    stamp: "-X k8s.io/component-base/version.gitVersion=VERSION \
            -X k8s.io/component-base/version.gitMajor=MAJOR \
            -X k8s.io/component-base/version.gitMinor=MINOR",
};

pub const COREDNS: Group = Group {
    name: "coredns",
    module: "github.com/coredns/coredns",
    programs: &[("coredns", "github.com/coredns/coredns")],
    stamp: "",
};

pub const METRICS_SERVER: Group = Group {
    name: "metrics-server",
    module: "sigs.k8s.io/metrics-server",
    programs: &[("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server")],
    stamp: "",
};

/// Distribution: the registry that the platform's chart brings.
pub const REGISTRY: Group = Group {
    name: "registry",
    module: "github.com/distribution/distribution/v3",
    programs: &[("registry", "github.com/distribution/distribution/v3/cmd/registry")],
    stamp: "",
};

pub const HELM: Group = Group {
    name: "helm",
    module: "helm.sh/helm/v4",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    stamp: "-X helm.sh/helm/v4/internal/version.version=VERSION",
};

/// An ACME certificate authority.
pub const PEBBLE: Group = Group {
    name: "pebble",
    module: "github.com/letsencrypt/pebble/v2",
    programs: &[("pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble")],
    stamp: "-X main.version=VERSION",
};

impl Group {
    /// Folder with `go.mod` and `go.sum`.
    pub fn folder(&self) -> PathBuf {
        paths::checkout().join("xtask/cluster").join(self.name)
    }

    /// What the pins are, as far as it changes the programs.
    pub fn pinned(&self) -> anyhow::Result<Pinned> {
        let read = |name: &str| {
            let file = self.folder().join(name);
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        let version = version_in(&go_mod, self.module).with_context(|| {
            format!("{}/go.mod does not require {}", self.folder().display(), self.module)
        })?;
        let flags = linker_flags(self.stamp, version);
        Ok(Pinned { version: version.to_owned(), key: key(&[&go_mod, &go_sum, &flags]), linker_flags: flags })
    }
}

/// One group's version and how its programs are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub version: String,
    /// Changes whenever the programs would.
    pub key: String,
    pub linker_flags: String,
}

/// Finds `MODULE vX.Y.Z` among the requirements.
fn version_in<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    let required = |line: &'a str| {
        let line = line.trim().trim_start_matches("require ");
        line.strip_prefix(module)?.strip_prefix(' ')?.split_whitespace().next()
    };
    go_mod.lines().find_map(required)
}

/// Small programs without debugging symbols that know their version.
fn linker_flags(stamp: &str, version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or(""), numbers.next().unwrap_or(""));
    let stamp = stamp.replace("VERSION", version).replace("MAJOR", major).replace("MINOR", minor);
    format!("-s -w {stamp}").trim_end().to_owned()
}

fn key(inputs: &[&str]) -> String {
    let mut hash = sha2::Sha256::new();
    for input in [archive::go_architecture()].iter().chain(inputs) {
        hash.update(input.len().to_be_bytes());
        hash.update(input);
    }
    hex::encode(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_pins_that_name_its_packages() {
        for group in GROUPS.iter().chain(TOOLS) {
            let go_mod = std::fs::read_to_string(group.folder().join("go.mod")).expect("pins are committed");

            let pinned = group.pinned().expect("pins can be read");

            assert!(pinned.version.starts_with('v'), "{}: {}", group.name, pinned.version);
            for (program, package) in group.programs {
                assert!(go_mod.contains(package), "{program}: no `tool {package}` in go.mod");
            }
        }
    }

    #[test]
    fn the_version_is_that_of_the_module_and_not_of_one_with_a_longer_name() {
        let go_mod =
            "require (\n\tk8s.io/kubernetes-extra v9.9.9\n\tk8s.io/kubernetes v1.34.4 // indirect\n)";

        assert_eq!(version_in(go_mod, "k8s.io/kubernetes"), Some("v1.34.4"));
        assert_eq!(version_in("require k8s.io/kubernetes v1.2.3", "k8s.io/kubernetes"), Some("v1.2.3"));
        assert_eq!(version_in(go_mod, "k8s.io/api"), None);
    }

    #[test]
    fn programs_are_told_their_version() {
        let flags = linker_flags(KUBERNETES.stamp, "v1.34.4");

        assert!(flags.starts_with("-s -w -X k8s.io/component-base/version.gitVersion=v1.34.4 "), "{flags}");
        assert!(flags.ends_with("gitMajor=1 -X k8s.io/component-base/version.gitMinor=34"), "{flags}");
        assert_eq!(linker_flags("", "v1.0.0"), "-s -w");
    }

    #[test]
    fn other_pins_have_another_key() {
        assert_eq!(key(&["a", "b"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["ab", ""]));
    }
}
