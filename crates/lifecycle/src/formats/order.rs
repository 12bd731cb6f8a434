//! `order.toml`, orders of composite buildpacks, and `system.toml`.

use serde::Deserialize;

use crate::formats::group::Extension;

#[derive(Debug, Clone, Default, Deserialize)]
pub struct Order {
    #[serde(default)]
    pub order: Vec<OrderGroup>,
    #[serde(default, rename = "order-extensions")]
    pub extensions: Vec<ExtensionGroup>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct ExtensionGroup {
    #[serde(default)]
    pub group: Vec<Extension>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct OrderGroup {
    #[serde(default)]
    pub group: Vec<OrderElement>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct OrderElement {
    pub id: String,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub optional: bool,
    #[serde(default, rename = "exec-env")]
    pub exec_env: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct SystemFile {
    #[serde(default)]
    pub system: System,
}

/// Buildpacks that are in front of and behind every group.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct System {
    #[serde(default)]
    pub pre: SystemBuildpacks,
    #[serde(default)]
    pub post: SystemBuildpacks,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub struct SystemBuildpacks {
    #[serde(default)]
    pub buildpacks: Vec<OrderElement>,
}

impl System {
    /// The group with the system's buildpacks that it has not itself.
    pub fn around(&self, group: &OrderGroup) -> OrderGroup {
        let lacks = |element: &&OrderElement| !group.group.iter().any(|it| it.id == element.id);
        let before = self.pre.buildpacks.iter().filter(lacks).cloned();
        let behind = self.post.buildpacks.iter().filter(lacks).cloned();
        OrderGroup { group: before.chain(group.group.iter().cloned()).chain(behind).collect() }
    }
}
