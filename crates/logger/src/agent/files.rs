//! Names of log files, as the kubelet gives them: `<pod>_<namespace>_<container>-<id>.log`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use domain::logs::PodName;

use super::AgentError;

/// Names of all links in the folder.
pub(super) fn names(folder: &Path) -> Result<BTreeSet<String>, AgentError> {
    let list = || -> std::io::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    };
    list().map_err(|source| AgentError::Logs { path: folder.to_owned(), source })
}

/// The pod whose container writes to the file; none of its parts can hold an underscore.
pub(super) fn pod_of(file: &str) -> Option<PodName> {
    let mut parts = file.strip_suffix(".log")?.split('_');
    let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = parts.next().is_none() && container.contains('-');
    is_whole.then(|| PodName { namespace: namespace.to_owned(), name: pod.to_owned() })
}

/// Place of a link's file in the order of reading. The kubelet names the files of a container `<restarts>.log`, in a folder
/// of its own.
pub(super) fn order(link: &Path) -> (PathBuf, u64) {
    let file = std::fs::read_link(link).unwrap_or_default();
    let restarts = file.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
    (file.parent().unwrap_or(link).to_owned(), restarts.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_tells_its_pod() {
        let pod = pod_of("blog-web-5d9c-x2v4k_blog_blog-web-0123abcd.log");

        assert_eq!(
            pod,
            Some(PodName { namespace: "blog".to_owned(), name: "blog-web-5d9c-x2v4k".to_owned() })
        );
        for other in ["blog.log", "a_b.log", "a_b_c-1.log.20260101-000000", "a_b_c_d-1.log", ""] {
            assert_eq!(pod_of(other), None, "{other}");
        }
    }
}
