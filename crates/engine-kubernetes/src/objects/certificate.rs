//! Certificates of an app: a Secret each, as Deis had them (`<name>-cert`, docs/spec/api.md 6), and the right of
//! routers to read just these Secrets and no other of the app.

use std::collections::BTreeMap;

use domain::AppName;
use domain::certs::{AttachedCert, Pair};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use sha2::{Digest as _, Sha256};

use super::metadata;
use crate::{KubernetesSettings, names};

const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
/// Longest name of a Secret, without what follows the certificate's own.
const NAME_LENGTH_MAX: usize = 253 - "-cert".len();

/// Name of the Role and its binding.
pub const ROLE: &str = "deis-router-certificates";

/// Name of a certificate in Kubernetes, which allows fewer names than the API.
pub fn kubernetes_name(name: &str) -> String {
    let is_plain =
        name.len() <= NAME_LENGTH_MAX && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if is_plain { name.to_owned() } else { format!("x{}", short_hash(&[name])) }
}

/// Name of the Secret of a certificate that is called so in Kubernetes.
pub fn secret_name(kubernetes_name: &str) -> String {
    format!("{kubernetes_name}-cert")
}

pub fn secret(app: &AppName, cert: &AttachedCert) -> Secret {
    let mut labels = names::app_labels(app);
    labels.insert(names::PART_LABEL.to_owned(), names::CERTIFICATE_PART.to_owned());
    let Pair { certificate, key } = &*cert.pair;
    let data = [(CHAIN, certificate), (KEY, key)];
    let data = data.map(|(name, text)| (name.to_owned(), ByteString(text.clone().into_bytes())));
    Secret {
        metadata: metadata(&secret_name(&kubernetes_name(&cert.name)), labels),
        data: Some(data.into()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

/// Reads the pair of any Secret that holds one.
pub fn pair(secret: &Secret) -> Option<Pair> {
    let data = secret.data.as_ref()?;
    let text = |name| String::from_utf8(data.get(name)?.0.clone()).ok();
    Some(Pair { certificate: text(CHAIN)?, key: text(KEY)? })
}

/// Changes whenever the pair does, and reveals nothing about it.
pub fn stamp(pair: &Pair) -> String {
    short_hash(&[&pair.certificate, &pair.key])
}

pub(super) fn short_hash(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    hex::encode(&hash.finalize()[..10])
}

/// Lets routers read the Secrets of these certificates; `None` where there is none.
pub fn role(app: &AppName, certificates: &[AttachedCert]) -> Option<Role> {
    let secrets: Vec<_> = certificates.iter().map(|cert| secret_name(&kubernetes_name(&cert.name))).collect();
    let rule = PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["secrets".to_owned()]),
        resource_names: Some(secrets),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    let role = Role { metadata: metadata(ROLE, names::app_labels(app)), rules: Some(vec![rule]) };
    (!certificates.is_empty()).then_some(role)
}

pub fn role_binding(settings: &KubernetesSettings, app: &AppName) -> RoleBinding {
    RoleBinding {
        metadata: metadata(ROLE, names::app_labels(app)),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: ROLE.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: names::ROUTER_ACCOUNT.to_owned(),
            namespace: Some(settings.platform_namespace.clone()),
            api_group: None,
        }]),
    }
}

/// `domain:certificate` for the annotation that names certificates.
pub fn mapping(certificates: &[AttachedCert]) -> String {
    let pairs = certificates.iter().flat_map(|cert| {
        let name = kubernetes_name(&cert.name);
        cert.domains.iter().map(move |domain| format!("{domain}:{name}"))
    });
    pairs.collect::<Vec<_>>().join(",")
}

/// `certificate:stamp` for the annotation by which routers see that a Secret has changed.
pub fn stamps(certificates: &[AttachedCert]) -> String {
    let stamps: BTreeMap<_, _> =
        certificates.iter().map(|cert| (kubernetes_name(&cert.name), stamp(&cert.pair))).collect();
    stamps.into_iter().map(|(name, stamp)| format!("{name}:{stamp}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn app() -> AppName {
        AppName::parse("blog").expect("a good name")
    }

    fn cert(name: &str, key: &str) -> AttachedCert {
        let pair = Pair { certificate: "chain".to_owned(), key: key.to_owned() };
        AttachedCert { name: name.to_owned(), domains: vec!["www.foo.com".to_owned()], pair: Arc::new(pair) }
    }

    #[test]
    fn a_pair_is_read_back_from_its_secret() {
        let secret = secret(&app(), &cert("foo-com", "key"));

        assert_eq!(secret.metadata.name.as_deref(), Some("foo-com-cert"));
        assert_eq!(pair(&secret).as_ref(), Some(&*cert("foo-com", "key").pair));
        assert_eq!(pair(&Secret::default()), None);
    }

    #[test]
    fn routers_may_read_just_the_secrets_of_certificates() {
        let role = role(&app(), &[cert("foo-com", "key"), cert("-", "key")]).expect("there are some");

        let rule = &role.rules.expect("rules")[0];
        assert_eq!(rule.verbs, ["get"]);
        let named = rule.resource_names.as_deref().expect("names");
        assert_eq!(named[0], "foo-com-cert");
        // A name that Kubernetes would refuse must not keep an app from being routed.
        assert!(named[1].starts_with('x') && named[1].ends_with("-cert"), "{named:?}");
        assert_eq!(super::role(&app(), &[]), None);
    }

    #[test]
    fn a_stamp_changes_with_either_half() {
        assert_ne!(stamps(&[cert("a", "key")]), stamps(&[cert("a", "other")]));
        assert_eq!(mapping(&[cert("a", "key")]), "www.foo.com:a");
    }
}
