//! h2spec: RFC 9113 and RFC 7541, rule by rule.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use cluster::Programs;

use super::edge::Edge;
use crate::progress;

/// Longest run; it takes seconds.
const RUN_MAX: Duration = Duration::from_secs(120);

/// Cases that may fail, as `SECTION: NAME`, each with its reason; at most five.
const EXCEPTIONS: &[(&str, &str)] = &[];
const EXCEPTIONS_MAX: usize = 5;
/// Fewest cases, of 145: with fewer, h2spec did not reach the router.
const CASES_MIN: usize = 140;

pub fn run() -> anyhow::Result<()> {
    ensure!(EXCEPTIONS.len() <= EXCEPTIONS_MAX, "more than {EXCEPTIONS_MAX} exceptions");
    let program = Programs::ensure_tool("h2spec")?;
    let edge = Edge::start()?;
    let report = edge.folder.join("h2spec.xml");
    let mut h2spec = Command::new(program);
    h2spec.args([
        "--strict",
        "--tls",
        "--insecure",
        "--host",
        "127.0.0.1",
        "--port",
        &edge.https_port.to_string(),
    ]);
    h2spec.arg("--junit-report").arg(&report);
    // It fails where a case fails; the report names the case.
    let said = progress::output(&mut progress::within(RUN_MAX, &h2spec));
    let text = std::fs::read_to_string(&report).or_else(|_| said.map(|_| String::new()))?;
    let cases = cases(&text);
    ensure!(cases.len() >= CASES_MIN, "only {} cases were tried: {}", cases.len(), text);
    let failed: Vec<_> = cases.iter().filter(|case| case.has_failed).map(|case| case.name.as_str()).collect();
    let is_excepted = |name: &&str| EXCEPTIONS.iter().any(|(known, _)| known == name);
    let unexpected: Vec<_> = failed.iter().copied().filter(|name| !is_excepted(name)).collect();
    println!(
        "    h2spec: {} cases, {} failed, {} of them known",
        cases.len(),
        failed.len(),
        failed.len() - unexpected.len()
    );
    ensure!(unexpected.is_empty(), "HTTP/2 is not spoken by the rules:\n{}", unexpected.join("\n"));
    for (known, reason) in EXCEPTIONS {
        ensure!(failed.contains(known), "`{known}` no longer fails ({reason}): remove the exception");
    }
    Ok(())
}

struct Case {
    name: String,
    has_failed: bool,
}

/// Reads a JUnit report.
fn cases(report: &str) -> Vec<Case> {
    let case = |text: &str| {
        let value = |name: &str| text.split_once(&format!("{name}=\""))?.1.split('"').next();
        let name =
            format!("{}: {}", value("package").unwrap_or_default(), value("classname").unwrap_or_default());
        let end = text.find("</testcase>").unwrap_or(text.len());
        Case { name, has_failed: text[..end].contains("<failure") || text[..end].contains("<error") }
    };
    report.split("<testcase ").skip(1).map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_which_cases_failed() {
        let report = r#"<testsuites><testsuite name="5.1" package="http2/5.1"><testcase package="http2/5.1" classname="idle: Sends a DATA frame" time="0.1"></testcase>
            <testcase package="http2/5.1" classname="idle: Sends a RST_STREAM frame" time="0.1"><failure>GOAWAY</failure></testcase></testsuite></testsuites>"#;

        let cases = cases(report);

        let told: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.has_failed)).collect();
        assert_eq!(
            told,
            [
                ("http2/5.1: idle: Sends a DATA frame", false),
                ("http2/5.1: idle: Sends a RST_STREAM frame", true)
            ]
        );
    }
}
