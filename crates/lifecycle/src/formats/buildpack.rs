//! `buildpack.toml`: the descriptor of a buildpack.

use serde::{Deserialize, Serialize};

use crate::api::ApiVersion;
use crate::formats::analyzed::{Distro, Target};
use crate::formats::order::OrderGroup;

#[derive(Debug, Clone, Deserialize)]
pub struct BuildpackDescriptor {
    pub api: ApiVersion,
    pub buildpack: BuildpackInfo,
    /// Of a composite buildpack.
    #[serde(default)]
    pub order: Vec<OrderGroup>,
    #[serde(default)]
    pub targets: Vec<BuildpackTarget>,
    #[serde(default)]
    pub stacks: Vec<Stack>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct BuildpackInfo {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub homepage: Option<String>,
    #[serde(default, rename = "clear-env")]
    pub clear_env: bool,
    #[serde(default, rename = "sbom-formats")]
    pub sbom_formats: Vec<String>,
    #[serde(default, rename = "exec-env")]
    pub exec_env: Vec<ExecEnv>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ExecEnv {
    pub name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct BuildpackTarget {
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub arch: String,
    #[serde(default, alias = "arch-variant")]
    pub variant: String,
    #[serde(default, alias = "distributions")]
    pub distros: Vec<Distro>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stack {
    pub id: String,
}

impl BuildpackDescriptor {
    pub fn is_composite(&self) -> bool {
        !self.order.is_empty()
    }

    /// Buildpacks of API 0.9 and below declare stacks, which are not compared any more.
    pub fn fits(&self, target: &Target) -> bool {
        let declares_none = self.targets.is_empty();
        let any_stack = self.stacks.iter().any(|stack| stack.id == "*");
        match self.api < ApiVersion(0, 10) || any_stack {
            true => true,
            false if declares_none => target.os == "linux" || target.os.is_empty(),
            false => self.targets.iter().any(|own| own.satisfies(target)),
        }
    }
}

impl BuildpackTarget {
    fn satisfies(&self, target: &Target) -> bool {
        let same = |own: &str, theirs: &str| own.is_empty() || theirs.is_empty() || own == theirs;
        let of_distro = |distro: &Distro| {
            self.distros
                .iter()
                .any(|own| same(&own.name, &distro.name) && same(&own.version, &distro.version))
        };
        let has_distro = self.distros.is_empty() || target.distro.as_ref().is_none_or(of_distro);
        same(&self.os, &target.os)
            && same(&self.arch, &target.arch)
            && same(&self.variant, &target.variant)
            && has_distro
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(descriptor: &str) -> bool {
        let head = "[buildpack]\nid = \"a\"\nversion = \"1.0.0\"\n";
        let descriptor: BuildpackDescriptor =
            toml::from_str(&format!("{}\n{head}", descriptor.replace("[[", "\n[["))).expect("a descriptor");
        let distro = Some(Distro { name: "debian".to_owned(), version: "13".to_owned() });
        descriptor.fits(&Target {
            os: "linux".to_owned(),
            arch: "amd64".to_owned(),
            variant: String::new(),
            distro,
        })
    }

    #[test]
    fn targets_are_compared_by_system_architecture_and_distribution() {
        assert!(fits("api = \"0.10\""));
        assert!(fits("api = \"0.10\"\n[[targets]]\nos = \"linux\""));
        assert!(fits("api = \"0.10\"\n[[targets]]\narch = \"arm64\"\n[[targets]]\narch = \"amd64\""));
        assert!(!fits("api = \"0.10\"\n[[targets]]\nos = \"windows\""));
        assert!(!fits("api = \"0.10\"\n[[targets]]\n[[targets.distros]]\nname = \"ubuntu\""));
        assert!(fits("api = \"0.10\"\n[[targets]]\n[[targets.distros]]\nname = \"debian\""));
        assert!(fits("api = \"0.9\"\n[[stacks]]\nid = \"some.stack\""));
        assert!(fits("api = \"0.12\"\n[[stacks]]\nid = \"*\""));
    }
}
