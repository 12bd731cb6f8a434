//! Runs `bin/detect` of one buildpack.

use std::path::Path;

use super::DetectSettings;
use super::plan::Offer;
use crate::buildpacks::Buildpack;
use crate::environment::{Variables, inherited, set_execution, set_platform};
use crate::failure::{OrFailure, Result};
use crate::formats::plan::BuildPlan;
use crate::formats::read_or_default;
use crate::process::{TemporaryFolder, captured, command};

/// `bin/detect` says no by this exit code; all others are errors.
const FAIL: i32 = 100;

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The alternatives of its build plan.
    Pass(Vec<Offer>),
    Fail,
    /// Why it did not decide.
    Error(String),
}

#[derive(Debug, Clone)]
pub struct Detection {
    pub verdict: Verdict,
    output: String,
}

impl Detection {
    pub fn print(&self, name: &str) {
        match &self.verdict {
            Verdict::Pass(_) => println!("pass: {name}"),
            Verdict::Fail => println!("fail: {name}"),
            Verdict::Error(why) => println!("err:  {name}: {why}"),
        }
        for line in self.output.lines() {
            println!("      {line}");
        }
    }
}

pub fn detect_one(settings: &DetectSettings, buildpack: &Buildpack) -> Result<Detection> {
    if let Some(target) = settings.target.as_ref().filter(|target| !buildpack.descriptor.fits(target)) {
        let why = format!("it is not for {}/{} and its distribution", target.os, target.arch);
        return Ok(Detection { verdict: Verdict::Error(why), output: String::new() });
    }
    let folder = TemporaryFolder::make("detect")?;
    let plan = folder.path().join("plan.toml");
    std::fs::write(&plan, "").or_fail("the build plan cannot be made")?;
    let variables = variables(settings, buildpack, &plan)?;
    let mut command = command(&buildpack.folder.join("bin/detect"), &settings.app, &variables);
    command.arg(&settings.platform).arg(&plan);
    let (status, output) = match captured(command) {
        Ok(ran) => ran,
        Err(error) => {
            let verdict = Verdict::Error(format!("bin/detect cannot be run: {error}"));
            return Ok(Detection { verdict, output: String::new() });
        }
    };
    let verdict = match status.code() {
        Some(0) => match read_or_default::<BuildPlan>(&plan) {
            Ok(plan) => Verdict::Pass(plan.alternatives()),
            Err(error) => Verdict::Error(format!("its build plan: {}", error.message)),
        },
        Some(FAIL) => Verdict::Fail,
        _ => Verdict::Error(status.to_string()),
    };
    Ok(Detection { verdict, output: String::from_utf8_lossy(&output).into_owned() })
}

fn variables(settings: &DetectSettings, buildpack: &Buildpack, plan: &Path) -> Result<Variables> {
    let mut variables = inherited(std::env::vars_os());
    let clears = buildpack.descriptor.buildpack.clear_env;
    set_platform(&mut variables, &settings.platform, &settings.build_config, clears)?;
    set_execution(&mut variables, settings.target.as_ref(), settings.exec_env.as_deref());
    for (name, path) in [
        ("CNB_BUILDPACK_DIR", buildpack.folder.as_path()),
        ("CNB_PLATFORM_DIR", &settings.platform),
        ("CNB_BUILD_PLAN_PATH", plan),
    ] {
        variables.insert(name.into(), path.into());
    }
    Ok(variables)
}
