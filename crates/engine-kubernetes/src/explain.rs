//! Reason of a failed rollout for users, from a pod's events and last lines.

use domain::deployment::{Probe, ProbeAction, Workload};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};

use super::Inner;
use engine::rollout::failure_text::{self, Evidence, LINES_SHOWN};
use engine::rollout::judge::{FailureReason, ReplicaFailure};

/// Prefixes of the events of probes.
const PROBE_EVENTS: [&str; 2] = ["Readiness probe failed: ", "Liveness probe failed: "];
const HOOK_EVENT: &str = "FailedPostStartHook";

impl Inner {
    /// The reason with the last lines of the pod, where it said any.
    pub(super) async fn explain(&self, workload: &Workload, failure: &ReplicaFailure) -> String {
        let evidence = match (&failure.replica, &failure.why) {
            (None, _) | (_, FailureReason::Reason(_)) => Evidence::default(),
            (Some(pod), _) => self.evidence(workload, pod).await,
        };
        failure_text::told(workload, &failure.why, evidence)
    }

    async fn evidence(&self, workload: &Workload, pod: &str) -> Evidence {
        let events = self.events(workload, pod).await;
        let has_hook = workload.hooks.post_start.is_some();
        let hook = events.iter().find(|(reason, _)| has_hook && reason == HOOK_EVENT);
        Evidence {
            hook: hook.map(|(_, message)| start_hook(message)),
            miss: events.iter().find_map(|(_, message)| miss(workload, message)),
            output: self.last_output(workload, pod).await,
        }
    }

    /// Reasons and messages of the pod's events, newest first. A failure is reported also without them.
    async fn events(&self, workload: &Workload, pod: &str) -> Vec<(String, String)> {
        let of_pod =
            ListParams::default().fields(&format!("involvedObject.kind=Pod,involvedObject.name={pod}"));
        let found = self.api::<Event>(&workload.id.app).list(&of_pod).await;
        let mut events = found.map(|list| list.items).unwrap_or_default();
        let time = |event: &Event| {
            let last = event.last_timestamp.as_ref().map(|time| time.0);
            last.or(event.event_time.as_ref().map(|time| time.0))
        };
        events.sort_by_key(|event| std::cmp::Reverse(time(event)));
        let text = |event: Event| (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
        events.into_iter().map(text).collect()
    }

    /// Of the run that failed, which may not be the newest.
    async fn last_output(&self, workload: &Workload, pod: &str) -> Vec<u8> {
        let pods = self.api::<Pod>(&workload.id.app);
        for previous in [false, true] {
            let params = LogParams {
                tail_lines: Some(i64::try_from(LINES_SHOWN).unwrap_or(i64::MAX)),
                previous,
                ..LogParams::default()
            };
            match pods.logs(pod, &params).await {
                Ok(text) if !text.is_empty() => return text.into_bytes(),
                _ => {}
            }
        }
        Vec::new()
    }
}

/// `... exited with 4: ...` in what the kubelet says about a hook.
pub fn start_hook(message: &str) -> String {
    let code = message
        .split("exited with ")
        .nth(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    match code.and_then(|code| code.parse().ok()) {
        Some(code) => failure_text::start_hook_failed(code),
        None => "the postStart hook failed".to_owned(),
    }
}

/// Reads the message of a failed check; `None` if it is none.
fn miss(workload: &Workload, message: &str) -> Option<String> {
    let text = PROBE_EVENTS.iter().find_map(|prefix| message.strip_prefix(prefix))?;
    let probe = workload.probes.readiness.as_ref().or(workload.probes.liveness.as_ref());
    let port = probe.and_then(port);
    let text = text.trim();
    if let Some(port) = port.filter(|_| text.ends_with("connection refused")) {
        return Some(failure_text::nothing_listens(port));
    }
    let status = text.strip_prefix("HTTP probe failed with statuscode: ");
    match (status, probe.map(|probe| &probe.action)) {
        (Some(status), Some(ProbeAction::HttpGet { port, path, .. })) => {
            Some(format!("GET {path} on port {port} answered {status}"))
        }
        // The output of the command may be a secret of the user.
        (_, Some(ProbeAction::Exec { .. })) => Some("the health check's command failed".to_owned()),
        _ => Some(text.lines().next().unwrap_or_default().to_owned()),
    }
}

fn port(probe: &Probe) -> Option<u16> {
    match &probe.action {
        ProbeAction::HttpGet { port, .. }
        | ProbeAction::TcpSocket { port }
        | ProbeAction::Serving { port } => Some(*port),
        ProbeAction::Exec { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_words_about_a_hook_are_read() {
        let said = "Exec lifecycle hook ([/bin/sh -c x]) for Container \"blog-web\" in Pod \"a\" failed - \
                    error: command '/bin/sh -c x' exited with 4: , message: \"\"";

        assert_eq!(start_hook(said), "the postStart hook exited with code 4");
        assert_eq!(start_hook("PostStartHook failed"), "the postStart hook failed");
    }
}
