//! The detector: finds the first group of an order whose buildpacks fit the app and agree on a plan.

mod groups;
mod plan;
mod run;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::api::ApiVersion;
use crate::buildpacks::Buildpacks;
use crate::failure::{LifecycleError, Result, code};
use crate::formats::analyzed::Target;
use crate::formats::group::{Group, GroupBuildpack};
use crate::formats::order::{Order, OrderElement, System};
use crate::formats::plan::Plan;
use crate::formats::process::fits_exec_env;
use groups::flat_groups;
use plan::{Candidate, Offer, agree};
pub use run::Verdict;
use run::{Detection, detect_one};

/// What the detector is told.
pub struct DetectSettings {
    pub platform_api: ApiVersion,
    pub app: PathBuf,
    pub buildpacks: PathBuf,
    pub build_config: PathBuf,
    pub platform: PathBuf,
    pub order: Order,
    pub system: System,
    /// Of the run image; `None` if nothing is known of it.
    pub target: Option<Target>,
    /// `None` below Platform API 0.15.
    pub exec_env: Option<String>,
}

/// Group and plan of the first group that fits.
pub fn detect(settings: &DetectSettings) -> Result<(Group, Plan)> {
    if settings.order.extensions.iter().any(|group| !group.group.is_empty()) {
        let message = "the order has image extensions, which are not supported: use a builder without them";
        return Err(LifecycleError::new(code::DETECT, message));
    }
    let mut buildpacks = Buildpacks::open(&settings.buildpacks);
    let order = settings.order.order.iter().map(|group| settings.system.around(group)).collect::<Vec<_>>();
    let groups = flat_groups(&order, &mut buildpacks)?;
    let mut run = Detector { settings, buildpacks, detections: BTreeMap::new() };
    for group in &groups {
        if let Some(found) = run.group(group)? {
            return Ok(found);
        }
    }
    let has_error = run.detections.values().any(|it| matches!(it.verdict, Verdict::Error(_)));
    Err(LifecycleError::new(
        if has_error { code::DETECT_ERROR } else { code::NO_GROUP },
        format!("no group of buildpacks fits this app, of {} in the order", groups.len()),
    ))
}

struct Detector<'a> {
    settings: &'a DetectSettings,
    buildpacks: Buildpacks,
    /// Each buildpack is asked once, however many groups it is in.
    detections: BTreeMap<(String, String), Detection>,
}

impl Detector<'_> {
    fn group(&mut self, group: &[OrderElement]) -> Result<Option<(Group, Plan)>> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for element in group {
            if candidates.iter().any(|it| it.buildpack.id == element.id) || !self.fits_exec_env(element)? {
                continue;
            }
            let detection = self.detection(element)?;
            match (&detection.verdict, element.optional) {
                (Verdict::Pass(offers), _) => {
                    let offers = offers.clone();
                    candidates.push(self.candidate(element, offers)?);
                }
                (_, true) => {}
                (_, false) => return Ok(None),
            }
        }
        let agreed = agree(&candidates)?;
        if agreed.is_none() && !candidates.is_empty() {
            let names: Vec<_> = candidates.iter().map(|it| it.buildpack.id.as_str()).collect();
            println!("skip: {}: what they require and provide does not match", names.join(", "));
        }
        Ok(agreed)
    }

    fn fits_exec_env(&mut self, element: &OrderElement) -> Result<bool> {
        let Some(exec_env) = &self.settings.exec_env else { return Ok(true) };
        let descriptor = &self.buildpacks.find(&element.id, &element.version)?.descriptor;
        let own: Vec<_> = descriptor.buildpack.exec_env.iter().map(|it| it.name.clone()).collect();
        Ok(fits_exec_env(&element.exec_env, exec_env) && fits_exec_env(&own, exec_env))
    }

    fn detection(&mut self, element: &OrderElement) -> Result<&Detection> {
        let key = (element.id.clone(), element.version.clone());
        if !self.detections.contains_key(&key) {
            let buildpack = self.buildpacks.find(&element.id, &element.version)?;
            let detection = detect_one(self.settings, buildpack)?;
            detection.print(&buildpack.name());
            self.detections.insert(key.clone(), detection);
        }
        Ok(&self.detections[&key])
    }

    fn candidate(&mut self, element: &OrderElement, offers: Vec<Offer>) -> Result<Candidate> {
        let descriptor = &self.buildpacks.find(&element.id, &element.version)?.descriptor;
        let buildpack = GroupBuildpack {
            id: element.id.clone(),
            version: element.version.clone(),
            api: descriptor.api,
            homepage: descriptor.buildpack.homepage.clone(),
        };
        Ok(Candidate { buildpack, is_optional: element.optional, offers })
    }
}
