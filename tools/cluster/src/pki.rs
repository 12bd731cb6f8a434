//! Certificates of the cluster's components and users, and the kubeconfigs that name them.
//!
//! They are valid as long as the cluster exists.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use serde_json::json;

use crate::layout::{self, API_SERVICE, Node};

/// Authority of everything but the front proxy.
pub const AUTHORITY: &str = "ca";
/// Authority of the certificate that the API server presents to servers that extend it.
pub const FRONT_AUTHORITY: &str = "front-ca";
/// Key that signs the tokens of pods.
pub const SERVICE_ACCOUNTS: &str = "service-accounts";

/// Group of Kubernetes whose members are administrators.
const ADMINISTRATORS: Option<&str> = Some("system:masters");
const API_NAMES: &[&str] = &[
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
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
    usages: Vec<ExtendedKeyUsagePurpose>,
    /// Names and IP addresses.
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
        let (signer, usages, addresses) = (Some(AUTHORITY), vec![ClientAuth], Vec::new());
        Self { name, common_name, organization, signer, usages, addresses }
    }

    fn api_server() -> Self {
        let own = [API_SERVICE.to_owned(), Node(1).address()];
        let addresses = API_NAMES.iter().map(|name| (*name).to_owned()).chain(own).collect();
        Self { usages: vec![ServerAuth], addresses, ..Self::client("apiserver", "kube-apiserver", None) }
    }

    /// A kubelet is a client of the API server and a server of logs and metrics.
    fn kubelet(node: Node) -> Self {
        let name = node.name();
        Self {
            usages: vec![ClientAuth, ServerAuth],
            addresses: vec![name.clone(), node.address()],
            ..Self::client(&name, &format!("system:node:{name}"), Some("system:nodes"))
        }
    }

    fn params(&self) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(self.addresses.clone())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, &*self.common_name);
        if let Some(organization) = self.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization);
        }
        (params.is_ca, params.key_usages) = match self.signer {
            None => (IsCa::Ca(BasicConstraints::Unconstrained), vec![KeyCertSign, CrlSign, DigitalSignature]),
            Some(_) => (IsCa::ExplicitNoCa, vec![DigitalSignature]),
        };
        params.extended_key_usages.clone_from(&self.usages);
        Ok(params)
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
    let mut authorities = BTreeMap::new();
    for subject in subjects(nodes) {
        certify(&subject, &mut authorities)
            .with_context(|| format!("cannot make the certificate of {}", subject.name))?;
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

/// Writes a key and its certificate; an authority is kept for what it signs.
fn certify(
    subject: &Subject,
    authorities: &mut BTreeMap<String, Issuer<'static, KeyPair>>,
) -> anyhow::Result<()> {
    let (params, pair) = (subject.params()?, KeyPair::generate()?);
    let signed = match subject.signer {
        Some(signer) => {
            params.signed_by(&pair, authorities.get(signer).context("its signer comes first")?)?
        }
        None => params.self_signed(&pair)?,
    };
    std::fs::write(certificate(&subject.name), signed.pem())?;
    std::fs::write(key(&subject.name), pair.serialize_pem())?;
    if subject.signer.is_none() {
        authorities.insert(subject.name.clone(), Issuer::new(params, pair));
    }
    Ok(())
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
    use rcgen::SanType;

    use super::*;

    #[test]
    fn a_kubelet_is_known_as_its_node_and_serves_at_its_address() {
        let params = Subject::kubelet(Node(2)).params().expect("it can be certified");

        let named = |kind| params.distinguished_name.get(&kind).cloned();
        assert_eq!(named(DnType::OrganizationName), Some("system:nodes".into()));
        assert_eq!(named(DnType::CommonName), Some("system:node:node-2".into()));
        assert_eq!(params.extended_key_usages, [ClientAuth, ServerAuth]);
        let address = SanType::IpAddress([10, 240, 0, 12].into());
        assert_eq!(
            params.subject_alt_names,
            [SanType::DnsName("node-2".try_into().expect("a name")), address]
        );
    }

    #[test]
    fn only_authorities_may_sign() {
        for subject in subjects(&[Node(1)]) {
            let params = subject.params().expect("it can be certified");

            assert_eq!(
                params.key_usages.contains(&KeyCertSign),
                subject.signer.is_none(),
                "{}",
                subject.name
            );
            assert_eq!(params.is_ca == IsCa::ExplicitNoCa, subject.signer.is_some(), "{}", subject.name);
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
