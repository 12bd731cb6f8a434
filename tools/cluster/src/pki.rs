//! Certificates of the cluster's components and users, and the kubeconfigs that name them.
//!
//! OpenSSL makes them, one call and some milliseconds each. They are valid as long as the cluster exists.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use chores::progress;
use serde_json::json;

use crate::layout::{self, API_SERVICE, Node};

/// Authority of everything but the front proxy.
pub const AUTHORITY: &str = "ca";
/// Authority of the certificate that the API server presents to servers that extend it.
pub const FRONT_AUTHORITY: &str = "front-ca";
/// Key that signs the tokens of pods.
pub const SERVICE_ACCOUNTS: &str = "service-accounts";

const CLIENT: &str = "clientAuth";
const SERVER: &str = "serverAuth";
/// Group of Kubernetes whose members are administrators.
const ADMINISTRATORS: Option<&str> = Some("system:masters");
const API_NAMES: &[&str] = &[
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    "DNS:kubernetes.default.svc.cluster.local",
    "DNS:localhost",
    "IP:127.0.0.1",
];
/// Users with a kubeconfig, nodes aside: name, and common name and group in Kubernetes.
const USERS: &[(&str, &str, Option<&str>)] = &[
    ("admin", "admin", ADMINISTRATORS),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("kube-proxy", "system:kube-proxy", None),
];

/// Subject of a certificate.
struct Subject {
    /// Name of its files.
    name: String,
    common_name: String,
    organization: Option<&'static str>,
    /// The authority that signs it; an authority signs itself.
    signer: Option<&'static str>,
    usages: Vec<&'static str>,
    /// Like `DNS:localhost` and `IP:127.0.0.1`.
    addresses: Vec<String>,
}

impl Subject {
    fn authority(name: &str) -> Self {
        let common_name = format!("workflow-cluster-{name}");
        let (name, usages, addresses) = (name.to_owned(), Vec::new(), Vec::new());
        Self { name, common_name, organization: None, signer: None, usages, addresses }
    }

    fn client(name: &str, common_name: &str, organization: Option<&'static str>) -> Self {
        let (name, common_name) = (name.to_owned(), common_name.to_owned());
        let (signer, usages, addresses) = (Some(AUTHORITY), vec![CLIENT], Vec::new());
        Self { name, common_name, organization, signer, usages, addresses }
    }

    fn api_server() -> Self {
        let own = [API_SERVICE, &Node(1).address()].map(|address| format!("IP:{address}"));
        let addresses = API_NAMES.iter().map(|name| (*name).to_owned()).chain(own).collect();
        Self { usages: vec![SERVER], addresses, ..Self::client("apiserver", "kube-apiserver", None) }
    }

    /// A kubelet is a client of the API server and a server of logs and metrics.
    fn kubelet(node: Node) -> Self {
        let name = node.name();
        Self {
            usages: vec![CLIENT, SERVER],
            addresses: vec![format!("DNS:{name}"), format!("IP:{}", node.address())],
            ..Self::client(&name, &format!("system:node:{name}"), Some("system:nodes"))
        }
    }
}

pub fn certificate(name: &str) -> PathBuf {
    layout::pki().join(format!("{name}.crt"))
}

pub fn key(name: &str) -> PathBuf {
    layout::pki().join(format!("{name}.key"))
}

/// Makes all certificates and kubeconfigs.
pub fn make(nodes: &[Node]) -> anyhow::Result<()> {
    for subject in subjects(nodes) {
        certify(&subject).with_context(|| format!("cannot make the certificate of {}", subject.name))?;
    }
    let users = USERS.iter().map(|(user, ..)| (*user).to_owned());
    for user in users.chain(nodes.iter().map(|node| node.name())) {
        std::fs::write(layout::kubeconfig(&user), kubeconfig(&user).to_string())
            .with_context(|| format!("cannot write the kubeconfig of {user}"))?;
    }
    Ok(())
}

/// All certificates; signers come before what they sign.
fn subjects(nodes: &[Node]) -> Vec<Subject> {
    let front_proxy = Subject::client("front-proxy", "front-proxy-client", None);
    let mut all = vec![
        Subject::authority(AUTHORITY),
        Subject::authority(FRONT_AUTHORITY),
        Subject::authority(SERVICE_ACCOUNTS),
        Subject::api_server(),
        Subject::client("apiserver-to-kubelets", "kube-apiserver", ADMINISTRATORS),
        Subject { signer: Some(FRONT_AUTHORITY), ..front_proxy },
    ];
    all.extend(USERS.iter().map(|(user, name, organization)| Subject::client(user, name, *organization)));
    all.extend(nodes.iter().copied().map(Subject::kubelet));
    all
}

fn certify(subject: &Subject) -> anyhow::Result<()> {
    let name = &subject.name;
    let request = layout::pki().join(format!("{name}.request"));
    std::fs::write(&request, request_of(subject))?;
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-batch", "-noenc", "-days", "3650"]);
    command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-config"]).arg(&request);
    command.arg("-keyout").arg(key(name)).arg("-out").arg(certificate(name));
    if let Some(signer) = subject.signer {
        command.arg("-CA").arg(certificate(signer)).arg("-CAkey").arg(key(signer));
    }
    progress::output(&mut command).map(drop)
}

/// A request as OpenSSL reads it.
fn request_of(subject: &Subject) -> String {
    let mut lines = vec!["[req]", "prompt = no", "distinguished_name = name", "x509_extensions = extensions"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    lines.push("[name]".to_owned());
    lines.extend(subject.organization.map(|organization| format!("O = {organization}")));
    lines.push(format!("CN = {}", subject.common_name));
    lines.push("[extensions]".to_owned());
    if subject.signer.is_none() {
        lines.push("basicConstraints = critical, CA:TRUE".to_owned());
        lines.push("keyUsage = critical, keyCertSign, cRLSign, digitalSignature".to_owned());
    } else {
        lines.push("basicConstraints = critical, CA:FALSE".to_owned());
        lines.push("keyUsage = critical, digitalSignature".to_owned());
        lines.push(format!("extendedKeyUsage = {}", subject.usages.join(", ")));
    }
    if !subject.addresses.is_empty() {
        lines.push(format!("subjectAltName = {}", subject.addresses.join(", ")));
    }
    lines.join("\n") + "\n"
}

fn kubeconfig(user: &str) -> serde_json::Value {
    let cluster = json!({ "server": layout::api_url(), "certificate-authority": certificate(AUTHORITY) });
    let identity = json!({ "client-certificate": certificate(user), "client-key": key(user) });
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "workflow", "cluster": cluster }],
        "users": [{ "name": user, "user": identity }],
        "contexts": [{ "name": "workflow", "context": { "cluster": "workflow", "user": user } }],
        "current-context": "workflow",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_is_known_as_its_node_and_serves_at_its_address() {
        let request = request_of(&Subject::kubelet(Node(2)));

        assert!(request.contains("O = system:nodes\nCN = system:node:node-2\n"), "{request}");
        assert!(request.contains("extendedKeyUsage = clientAuth, serverAuth\n"), "{request}");
        assert!(request.contains("subjectAltName = DNS:node-2, IP:10.240.0.12\n"), "{request}");
    }

    #[test]
    fn only_authorities_may_sign() {
        for subject in subjects(&[Node(1)]) {
            let request = request_of(&subject);

            assert_eq!(request.contains("CA:TRUE"), subject.signer.is_none(), "{request}");
        }
    }

    #[test]
    fn every_user_of_a_kubeconfig_has_a_certificate() {
        let subjects = subjects(&[Node(1), Node(2)]);

        for user in USERS.iter().map(|(user, ..)| *user).chain(["node-1", "node-2"]) {
            assert!(subjects.iter().any(|subject| subject.name == user), "{user}");
        }
        assert!(kubeconfig("admin").to_string().contains("https://10.240.0.11:6443"));
    }
}
