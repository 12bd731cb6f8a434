//! testssl.sh, from Debian's package: weaknesses and errors of TLS.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::edge::{Edge, HOST};
use crate::{packages, progress};

/// Longest run; it takes minutes.
const RUN_MAX: Duration = Duration::from_secs(20 * 60);

/// Findings above LOW that do not count, each with its reason; at most five.
const EXCEPTIONS: &[(&str, &str)] = &[("engine_problem", "of the machine's own openssl: it has no GOST")];
const EXCEPTIONS_MAX: usize = 5;
/// Fewest findings, good ones included: with fewer, testssl did not reach the router.
const FINDINGS_MIN: usize = 100;

#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    finding: String,
}

impl Finding {
    fn is_bad(&self) -> bool {
        !["OK", "INFO", "LOW"].contains(&self.severity.as_str())
    }
}

pub fn run() -> anyhow::Result<()> {
    ensure!(EXCEPTIONS.len() <= EXCEPTIONS_MAX, "more than {EXCEPTIONS_MAX} exceptions");
    packages::ensure(&[packages::TESTSSL])?;
    let edge = Edge::start()?;
    let report = edge.folder.join("testssl.json");
    let mut testssl = Command::new("testssl");
    testssl.args(["--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", "127.0.0.1"]);
    testssl.arg("--add-ca").arg(edge.authority()).arg("--jsonfile").arg(&report);
    testssl.arg(format!("{HOST}:{}", edge.https_port));
    // Its exit code is the number of findings; the report has those that count.
    let said =
        progress::step("testssl.sh", || Ok(progress::output(&mut progress::within(RUN_MAX, &testssl))))?;
    let text = std::fs::read_to_string(&report).or_else(|_| said.map(|_| String::new()))?;
    let findings: Vec<Finding> = serde_json::from_str(&text).context("cannot read what testssl found")?;
    ensure!(findings.len() >= FINDINGS_MIN, "only {} findings: {text}", findings.len());
    let bad: Vec<_> = findings.iter().filter(|finding| finding.is_bad()).collect();
    let is_known = |finding: &Finding| EXCEPTIONS.iter().any(|(id, _)| *id == finding.id);
    let unexpected: Vec<_> = bad
        .iter()
        .filter(|finding| !is_known(finding))
        .map(|it| format!("{}: {} ({})", it.id, it.finding, it.severity))
        .collect();
    println!(
        "    testssl: {} findings, {} above LOW, {} of them known",
        findings.len(),
        bad.len(),
        bad.len() - unexpected.len()
    );
    ensure!(unexpected.is_empty(), "TLS is weak:\n{}", unexpected.join("\n"));
    Ok(())
}
