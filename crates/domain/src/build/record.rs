//! Stored form of a build.
//!
//! Builds recorded before they had an origin and a launch get both from `dockerfile`, `sha` and `ports`. These are
//! still written, so that a controller of the version before reads new builds during an upgrade.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Build, Launch, Origin};
use crate::image::Image;
use crate::names::ProcessType;
use crate::stacks::StackName;

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct BuildRecord {
    image: Image,
    reference: String,
    sha: String,
    procfile: BTreeMap<ProcessType, String>,
    dockerfile: bool,
    ports: Vec<u16>,
    origin: Option<Origin>,
    launch: Option<Launch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stack: Option<StackName>,
    #[serde(default)]
    launches: BTreeMap<ProcessType, Launch>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
}

impl From<Build> for BuildRecord {
    fn from(build: Build) -> Self {
        let Build { origin, reference, sha, procfile, launch, stack, launches, reason } = build;
        Self {
            image: launch.image.clone(),
            reference,
            sha,
            procfile,
            dockerfile: origin == Origin::Dockerfile,
            ports: launch.port.into_iter().collect(),
            origin: Some(origin),
            launch: Some(launch),
            stack,
            launches,
            reason,
        }
    }
}

impl From<BuildRecord> for Build {
    fn from(record: BuildRecord) -> Self {
        let BuildRecord {
            image,
            reference,
            sha,
            procfile,
            dockerfile,
            ports,
            origin,
            launch,
            stack,
            launches,
            reason,
        } = record;
        let origin = origin.unwrap_or(match (dockerfile, sha.is_empty()) {
            (true, _) => Origin::Dockerfile,
            (false, false) => Origin::Buildpack,
            (false, true) => Origin::Image,
        });
        let launch = launch.unwrap_or_else(|| Launch::of(origin, image, &ports));
        Self { origin, reference, sha, procfile, launch, stack, launches, reason }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::structure::tests::build;

    fn earlier(build: &Build) -> Value {
        let mut record = serde_json::to_value(build).expect("JSON");
        let fields = record.as_object_mut().expect("an object");
        fields.retain(|name, _| !matches!(name.as_str(), "origin" | "launch" | "launches"));
        record
    }

    #[test]
    fn what_is_recorded_is_read_back() {
        let worker = ProcessType::parse("worker").expect("a type");
        for origin in [Origin::Buildpack, Origin::Dockerfile, Origin::Image, Origin::Cnb] {
            let mut build = build(origin, &["web", "worker"]);
            let own = Launch { port: Some(9000), user: Some(7), ..build.launch.clone() };
            build.launches.insert(worker.clone(), own);

            let record = serde_json::to_string(&build).expect("JSON");

            assert_eq!(serde_json::from_str::<Build>(&record).expect("a build"), build);
        }
    }

    #[test]
    fn builds_recorded_before_they_had_an_origin_are_launched_as_before() {
        for origin in [Origin::Buildpack, Origin::Dockerfile, Origin::Image] {
            let build = build(origin, &["web"]);

            assert_eq!(serde_json::from_value::<Build>(earlier(&build)).expect("a build"), build);
        }
    }

    #[test]
    fn the_version_before_reads_new_builds() {
        let image = json!({"kind": "external", "reference": "img", "digest": crate::Digest::of(b"img")});
        let procfile = json!({"web": "run-web"});

        assert_eq!(
            earlier(&build(Origin::Dockerfile, &["web"])),
            json!({"image": image, "reference": "img", "sha": "1a2b3c4d", "procfile": procfile,
                   "dockerfile": true, "ports": [8080]})
        );
    }
}
