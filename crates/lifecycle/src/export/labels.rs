//! Labels of the app image.

use super::ExportSettings;
use crate::facts::ImageFacts;
use crate::failure::{OrFailure, Result};
use crate::formats::launch::Metadata;
use crate::labels::{
    BUILD_METADATA, BuildMetadata, LIFECYCLE_METADATA, LabelBuildpack, LauncherMetadata, LifecycleMetadata,
    PROJECT_METADATA, REBASABLE, RunImageMetadata,
};

/// What rebasing needs to know of the run image.
pub fn run_image(facts: &ImageFacts) -> RunImageMetadata {
    RunImageMetadata {
        image: facts.image.clone(),
        mirrors: facts.mirrors.clone(),
        top_layer: facts.diff_ids().last().copied().unwrap_or_default().to_owned(),
        reference: facts.reference.clone(),
    }
}

/// Labels of buildpacks, then those of the lifecycle, which nobody can replace.
pub fn labels(
    settings: &ExportSettings,
    build: &Metadata,
    lifecycle: &LifecycleMetadata,
) -> Result<Vec<(String, String)>> {
    let buildpack = |it: &crate::formats::group::GroupBuildpack| LabelBuildpack {
        id: it.id.clone(),
        version: it.version.clone(),
        homepage: it.homepage.clone(),
        api: Some(it.api),
    };
    let build_metadata = BuildMetadata {
        processes: build.processes.iter().cloned().map(Into::into).collect(),
        buildpacks: settings.group.group.iter().map(buildpack).collect(),
        launcher: LauncherMetadata { version: settings.launcher_version.clone() },
    };
    let json = |value: serde_json::Result<String>| value.or_fail("a label cannot be written");
    let rebasable = settings.run_image.label(REBASABLE).unwrap_or("true");
    let mut labels: Vec<_> = build.labels.iter().map(|it| (it.key.clone(), it.value.clone())).collect();
    labels.extend([
        (LIFECYCLE_METADATA.to_owned(), json(serde_json::to_string(lifecycle))?),
        (BUILD_METADATA.to_owned(), json(serde_json::to_string(&build_metadata))?),
        (PROJECT_METADATA.to_owned(), json(serde_json::to_string(&settings.project_metadata))?),
        (REBASABLE.to_owned(), rebasable.to_owned()),
    ]);
    Ok(labels)
}
