//! The builder: runs `bin/build` of each buildpack of the group in order.

mod layers;
mod sbom;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::api::ApiVersion;
use crate::buildpacks::{Buildpack, Buildpacks};
use crate::environment::{Variables, add_build_layers, inherited, set_execution, set_platform};
use crate::failure::{LifecycleError, OrFailure, Result, code};
use crate::formats::analyzed::Target;
use crate::formats::group::{Group, GroupBuildpack, folder_of};
use crate::formats::launch::{Metadata, MetadataBuildpack};
use crate::formats::layer::BuildFile;
use crate::formats::plan::{BuildpackPlan, Plan};
use crate::formats::{self, read_or_default};
use crate::process::{TemporaryFolder, command};

/// What the builder is told.
pub struct BuildSettings {
    pub platform_api: ApiVersion,
    pub app: PathBuf,
    pub buildpacks: PathBuf,
    pub build_config: PathBuf,
    pub platform: PathBuf,
    pub layers: PathBuf,
    pub group: Group,
    pub plan: Plan,
    pub target: Option<Target>,
    /// `None` below Platform API 0.15.
    pub exec_env: Option<String>,
}

/// Builds, and writes `<layers>/config/metadata.toml`.
pub fn build(settings: &BuildSettings) -> Result<Metadata> {
    sbom::remove_all(&settings.layers)?;
    let mut buildpacks = Buildpacks::open(&settings.buildpacks);
    let mut variables = inherited(std::env::vars_os());
    let mut plan = settings.plan.clone();
    let mut metadata = Metadata::default();
    for member in &settings.group.group {
        let buildpack = buildpacks.find(&member.id, &member.version)?;
        let build =
            BuildpackBuild { settings, buildpack, layers: settings.layers.join(folder_of(&member.id)) };
        let offered = plan.of(&member.id);
        build.run(&variables, &offered)?;
        let unmet = build.unmet(&offered)?;
        plan = plan.after(&member.id, &unmet);
        build.finish(member, &mut variables, &mut metadata)?;
    }
    formats::write(&settings.layers.join("config/metadata.toml"), &metadata)?;
    Ok(metadata)
}

/// The build of one buildpack.
struct BuildpackBuild<'a> {
    settings: &'a BuildSettings,
    buildpack: &'a Buildpack,
    /// Its own layers folder.
    layers: PathBuf,
}

impl BuildpackBuild<'_> {
    fn run(&self, variables: &Variables, plan: &BuildpackPlan) -> Result<()> {
        let Self { settings, buildpack, layers } = self;
        fs::create_dir_all(layers).or_fail(format!("{} cannot be made", layers.display()))?;
        let folder = TemporaryFolder::make("build")?;
        let plan_path = folder.path().join("plan.toml");
        formats::write(&plan_path, plan)?;
        let variables = self.variables(variables.clone(), &plan_path)?;
        let mut command = command(&buildpack.folder.join("bin/build"), &settings.app, &variables);
        command.arg(layers).arg(&settings.platform).arg(&plan_path).stdin(std::process::Stdio::null());
        let failed = |why: String| {
            LifecycleError::new(
                code::BUILDPACK_FAILED,
                format!("buildpack {} failed: {why}", buildpack.name()),
            )
        };
        let status = command.status().map_err(|error| failed(format!("bin/build cannot be run: {error}")))?;
        match status.success() {
            true => Ok(()),
            false => Err(failed(status.to_string())),
        }
    }

    fn variables(&self, mut variables: Variables, plan: &Path) -> Result<Variables> {
        let Self { settings, buildpack, layers } = self;
        let clears = buildpack.descriptor.buildpack.clear_env;
        set_platform(&mut variables, &settings.platform, &settings.build_config, clears)?;
        set_execution(&mut variables, settings.target.as_ref(), settings.exec_env.as_deref());
        let own: BTreeMap<&str, &Path> = [
            ("CNB_BUILDPACK_DIR", buildpack.folder.as_path()),
            ("CNB_PLATFORM_DIR", &settings.platform),
            ("CNB_LAYERS_DIR", layers),
            ("CNB_BP_PLAN_PATH", plan),
        ]
        .into();
        variables.extend(own.into_iter().map(|(name, path)| (name.into(), path.into())));
        Ok(variables)
    }

    /// Names that the buildpack leaves to the next one that offers them.
    fn unmet(&self, offered: &BuildpackPlan) -> Result<Vec<String>> {
        let file: BuildFile = read_or_default(&self.layers.join("build.toml"))?;
        let unmet: Vec<_> = file.unmet.into_iter().map(|it| it.name).collect();
        match unmet.iter().find(|name| !offered.entries.iter().any(|entry| entry.name == **name)) {
            Some(name) => Err(self.refused(&format!("`{name}` of build.toml is not in its plan"))),
            None => Ok(unmet),
        }
    }

    fn finish(
        &self,
        member: &GroupBuildpack,
        variables: &mut Variables,
        metadata: &mut Metadata,
    ) -> Result<()> {
        let launch = read_or_default(&self.layers.join("launch.toml"))?;
        let buildpack = MetadataBuildpack {
            id: member.id.clone(),
            version: member.version.clone(),
            api: self.buildpack.descriptor.api,
            homepage: member.homepage.clone(),
        };
        metadata.add(buildpack, launch).map_err(|error| self.refused(&format!("launch.toml: {error}")))?;
        let types = layers::read_types(&self.layers)?;
        sbom::gather(self, &types)?;
        layers::set_ignored_aside(&self.layers, &types)?;
        let is_build = types.iter().filter(|(_, types)| types.build).map(|(name, _)| self.layers.join(name));
        add_build_layers(variables, &is_build.collect::<Vec<_>>())
    }

    fn refused(&self, why: &str) -> LifecycleError {
        LifecycleError::new(code::BUILD, format!("buildpack {}: {why}", self.buildpack.name()))
    }
}
