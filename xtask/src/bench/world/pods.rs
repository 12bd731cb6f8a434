//! Stages of the pods of an app and of its builds, from a watch, as the times in their status are whole seconds.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use serde_json::Value;

/// A watch of pods, by kubectl.
pub struct Pods {
    kubectl: Child,
    reading: Option<JoinHandle<Vec<(Instant, String)>>>,
}

impl Pods {
    /// Starts the watch. Pods that exist already are left out.
    pub fn follow(app: &str) -> anyhow::Result<Self> {
        let selector = format!("--selector=app={app}");
        let list = ["get", "pods", "--all-namespaces", "--output=json", &selector];
        let known = Command::new("kubectl").args(list).output().context("cannot run kubectl")?;
        let known: Value = serde_json::from_slice(&known.stdout).context("kubectl tells no JSON")?;
        let known: Vec<String> = super::items(&known).map(name).collect();
        let mut kubectl = Command::new("kubectl")
            .args(list)
            .args(["--watch", "--output-watch-events"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        let stdout = BufReader::new(kubectl.stdout.take().context("it was piped")?);
        let reading = std::thread::spawn(move || read(stdout, &known));
        Ok(Self { kubectl, reading: Some(reading) })
    }

    /// Ends the watch and returns the stages with their times since `begun`.
    pub fn stop(mut self, begun: Instant) -> anyhow::Result<Vec<(Duration, String)>> {
        self.kubectl.kill().context("cannot end kubectl")?;
        self.kubectl.wait().context("kubectl does not end")?;
        let reading = self.reading.take().context("it is read once")?;
        let told = reading.join().map_err(|_| anyhow!("reading pods panicked"))?;
        Ok(told.into_iter().map(|(when, text)| (when.saturating_duration_since(begun), text)).collect())
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        // It has ended already unless there was an error before.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

fn read(stdout: impl std::io::Read, known: &[String]) -> Vec<(Instant, String)> {
    let mut told = Vec::new();
    let events = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
    for event in events.map_while(Result::ok) {
        let pod = &event["object"];
        if !known.contains(&name(pod)) {
            told.extend(stages(pod).into_iter().map(|stage| (Instant::now(), stage)));
        }
    }
    told
}

fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// All stages that a pod has reached, such as `build: source begun` and `app: ready`.
fn stages(pod: &Value) -> Vec<String> {
    let labels = &pod["metadata"]["labels"];
    let is_build = labels["deis.io/job"].as_str() == Some("build");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let status = &pod["status"];
    let has = |kind: &str| {
        list(&status["conditions"])
            .iter()
            .any(|it| it["type"].as_str() == Some(kind) && it["status"].as_str() == Some("True"))
    };
    let containers = [list(&status["initContainerStatuses"]), list(&status["containerStatuses"])].concat();
    let begun = containers
        .iter()
        .filter(|it| !it["state"]["running"].is_null() || !it["state"]["terminated"].is_null())
        .map(|it| it["name"].as_str().unwrap_or_default());
    let mut stages = Vec::new();
    let of = if is_build { "build" } else { "app" };
    stages.extend(has("PodScheduled").then(|| format!("{of}: scheduled")));
    stages.extend(begun.map(|step| match is_build {
        true => format!("build: {step} begun"),
        false => "app: begun".to_owned(),
    }));
    stages.extend((!is_build && has("Ready")).then(|| "app: ready".to_owned()));
    stages
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_of_a_build_and_the_readiness_of_an_app_are_told() {
        let scheduled = json!({ "type": "PodScheduled", "status": "True" });
        let build = json!({
            "metadata": { "name": "b", "labels": { "deis.io/job": "build" } },
            "status": {
                "conditions": [scheduled],
                "initContainerStatuses": [
                    { "name": "source", "state": { "terminated": { "exitCode": 0 } } },
                    { "name": "build", "state": { "running": {} } },
                ],
                "containerStatuses": [{ "name": "upload", "state": { "waiting": {} } }],
            },
        });
        let app = json!({
            "metadata": { "name": "a", "labels": {} },
            "status": {
                "conditions": [scheduled, { "type": "Ready", "status": "True" }],
                "containerStatuses": [{ "name": "web", "state": { "running": {} } }],
            },
        });

        assert_eq!(stages(&build), ["build: scheduled", "build: source begun", "build: build begun"]);
        assert_eq!(stages(&app), ["app: scheduled", "app: begun", "app: ready"]);
    }
}
