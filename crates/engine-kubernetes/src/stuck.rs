//! Reasons of Kubernetes for a container that cannot be made, in words for users.

use super::explain::start_hook;
use super::failure::is_of_a_busy_node;
use engine::rollout::failure_text;
use engine::rollout::judge::Stage;

/// Reasons that no waiting changes.
const FINAL_REASONS: [&str; 6] = [
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "ContainerCannotRun",
];
/// Messages of registries after which waiting does not help. Denied access is not among them: a node under load
/// may not know a fresh pull secret for some seconds.
const FINAL_PULLS: [&str; 3] = ["not found", "manifest unknown", "invalid reference"];

/// The stage of a process whose container cannot be made, for this reason of Kubernetes' and in these words.
pub fn stuck(process: &str, reason: &str, message: &str) -> Stage {
    if reason == "PostStartHookError" {
        return Stage::HookFailed(start_hook(message));
    }
    Stage::Stuck { reason: text(process, reason, message), is_final: is_final(reason, message) }
}

fn is_final(reason: &str, message: &str) -> bool {
    let is_refused = FINAL_REASONS.contains(&reason) && !is_of_a_busy_node(message);
    let message = message.to_ascii_lowercase();
    is_refused || (is_pull(reason) && FINAL_PULLS.iter().any(|it| message.contains(it)))
}

fn is_pull(reason: &str) -> bool {
    matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "RegistryUnavailable")
}

fn text(process: &str, reason: &str, message: &str) -> String {
    match reason {
        _ if is_pull(reason) => format!("{process}: cannot pull its image: {message}"),
        "RunContainerError" | "StartError" | "ContainerCannotRun" | "CreateContainerError" => {
            failure_text::cannot_start(message)
        }
        _ => format!("{process} cannot start ({reason}): {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_waiting_changes_fails_at_once() {
        let told = |reason: &str, message: &str| match stuck("web", reason, message) {
            Stage::Stuck { reason, is_final: true } => Some(reason),
            _ => None,
        };

        let missing = told("StartError", "runc: exec: \"nope\": no such file: unknown");
        assert_eq!(missing.as_deref(), Some("cannot start \"nope\": no such file"));
        let unknown = told("ErrImagePull", "a/b@sha256:12: Not Found");
        assert_eq!(unknown.as_deref(), Some("web: cannot pull its image: a/b@sha256:12: Not Found"));
        assert_eq!(told("ErrImagePull", "connection reset by peer"), None);
        assert_eq!(told("ErrImagePull", "pull access denied: authorization failed"), None);
        assert_eq!(told("CreateContainerConfigError", "secret not found"), None);
        assert_eq!(told("CreateContainerError", "rpc error: context deadline exceeded"), None);
    }
}
