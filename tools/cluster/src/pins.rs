//! Programs of the cluster and their versions, and other programs that tests need, built in the same way.
//!
//! The pins are Go modules in `tools/cluster/programs/`, one a group, with `go.mod` and `go.sum`: a version is raised
//! there with `go get`, and nothing here has to change.

use std::path::PathBuf;

use anyhow::Context as _;
use chores::paths;
use sha2::Digest as _;

use crate::images::go_architecture;

/// Programs of one Go module.
#[derive(Debug)]
pub struct Group {
    /// Folder of the pins.
    pub name: &'static str,
    /// The module with the programs; its version is theirs.
    pub module: &'static str,
    /// Each program's name and package.
    pub programs: &'static [(&'static str, &'static str)],
    /// Build tags, separated by commas, that leave out unused parts.
    tags: &'static str,
    /// Linker flags that set the programs' version, which Go sets only for the main module. `VERSION`, `MAJOR` and
    /// `MINOR` stand for the module's.
    stamp: &'static str,
}

/// All groups, in the order in which a cold build has usable programs soonest.
pub const GROUPS: &[&Group] =
    &[&ETCD, &KUBERNETES, &COREDNS, &METRICS_SERVER, &KUBE_ROUTER, &REGISTRY, &HELM];

/// Programs for tests that are not part of a cluster: built on demand.
pub const TOOLS: &[&Group] = &[&H2SPEC, &PEBBLE, &BUILDKIT];

/// Builds Dockerfiles, on one machine and in a cluster.
pub const BUILDKIT: Group = Group {
    name: "buildkit",
    module: "github.com/moby/buildkit",
    programs: &[
        ("buildkitd", "github.com/moby/buildkit/cmd/buildkitd"),
        ("buildctl", "github.com/moby/buildkit/cmd/buildctl"),
    ],
    tags: "",
    stamp: "-X github.com/moby/buildkit/version.Version=VERSION",
};

/// Tests HTTP/2 conformance.
pub const H2SPEC: Group = Group {
    name: "h2spec",
    module: "github.com/summerwind/h2spec",
    programs: &[("h2spec", "github.com/summerwind/h2spec/cmd/h2spec")],
    tags: "",
    stamp: "",
};

pub const ETCD: Group = Group {
    name: "etcd",
    module: "go.etcd.io/etcd/server/v3",
    programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
    tags: "",
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
    tags: "",
    // Clients choose features by the server's version; without a stamp it is 0.0.0.
    stamp: "-X k8s.io/component-base/version.gitVersion=VERSION \
            -X k8s.io/component-base/version.gitMajor=MAJOR \
            -X k8s.io/component-base/version.gitMinor=MINOR",
};

/// CoreDNS with only the plugins that our cluster uses: its `main.go` is ours.
pub const COREDNS: Group = Group {
    name: "coredns",
    module: "github.com/coredns/coredns",
    programs: &[("coredns", "workflow/cluster/coredns")],
    tags: "",
    stamp: "",
};

/// kube-router, of which only the firewall for NetworkPolicies is used.
pub const KUBE_ROUTER: Group = Group {
    name: "kube-router",
    module: "github.com/cloudnativelabs/kube-router/v2",
    programs: &[("kube-router", "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router")],
    tags: "",
    stamp: "",
};

pub const METRICS_SERVER: Group = Group {
    name: "metrics-server",
    module: "sigs.k8s.io/metrics-server",
    programs: &[("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server")],
    tags: "",
    stamp: "",
};

/// Distribution: the registry that the platform's chart brings. Its `main.go` is ours, with what the platform can set;
/// the tag leaves out Google's direct paths between its own machines.
pub const REGISTRY: Group = Group {
    name: "registry",
    module: "github.com/distribution/distribution/v3",
    programs: &[("registry", "workflow/cluster/registry")],
    tags: "disable_grpc_modules",
    stamp: "",
};

pub const HELM: Group = Group {
    name: "helm",
    module: "helm.sh/helm/v4",
    programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
    tags: "",
    stamp: "-X helm.sh/helm/v4/internal/version.version=VERSION",
};

/// An ACME certificate authority.
pub const PEBBLE: Group = Group {
    name: "pebble",
    module: "github.com/letsencrypt/pebble/v2",
    programs: &[("pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble")],
    tags: "",
    stamp: "-X main.version=VERSION",
};

impl Group {
    /// Folder with `go.mod` and `go.sum`.
    pub fn folder(&self) -> PathBuf {
        paths::checkout().join("tools/cluster/programs").join(self.name)
    }

    /// The pins, as far as they change the programs.
    pub fn pinned(&self) -> anyhow::Result<Pinned> {
        let read = |name: &str| {
            let file = self.folder().join(name);
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        let (go_mod, go_sum) = (read("go.mod")?, read("go.sum")?);
        // Of a program whose `main.go` is ours.
        let own = if self.folder().join("main.go").is_file() { read("main.go")? } else { String::new() };
        let version = version_in(&go_mod, self.module).with_context(|| {
            format!("{}/go.mod does not require {}", self.folder().display(), self.module)
        })?;
        let flags = linker_flags(self.stamp, version);
        let mut inputs = vec![&*go_mod, &*go_sum, &*flags];
        inputs.extend([&*own, self.tags].into_iter().filter(|input| !input.is_empty()));
        let key = key(&inputs);
        Ok(Pinned { version: version.to_owned(), key, tags: self.tags, linker_flags: flags })
    }
}

/// One group's version and how its programs are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub version: String,
    /// Changes whenever the programs would.
    pub key: String,
    pub tags: &'static str,
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
    for input in [go_architecture()].iter().chain(inputs) {
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
