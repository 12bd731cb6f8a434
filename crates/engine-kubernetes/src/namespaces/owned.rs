//! Ownership of a namespace, by its labels.

use domain::AppName;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ObjectMeta;

use crate::{KubernetesSettings, names};

/// Returns true if a namespace is the one of this app of this platform.
pub fn is_ours(settings: &KubernetesSettings, app: &AppName, namespace: &Namespace) -> bool {
    self::app(settings, &namespace.metadata).as_ref() == Some(app)
}

/// The app of this namespace, if it is one of this platform's. Versions before 0.2 set no label with the platform:
/// there the prefix decides.
pub fn app(settings: &KubernetesSettings, namespace: &ObjectMeta) -> Option<AppName> {
    let labels = namespace.labels.as_ref()?;
    let platform = labels.get(names::PLATFORM_LABEL);
    let is_ours = labels.get(names::HERITAGE_LABEL).is_some_and(|heritage| heritage == names::HERITAGE)
        && platform.is_none_or(|platform| *platform == settings.platform_namespace);
    names::app_of(settings, namespace.name.as_deref()?, Some(labels)).filter(|_| is_ours)
}

/// The label that groups apps of one owner.
pub fn owner(namespace: &Namespace) -> Option<String> {
    namespace.metadata.labels.as_ref()?.get(names::OWNER_LABEL).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str, labels: &[(&str, &str)]) -> Namespace {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (name, labels) = (Some(name.to_owned()), Some(labels));
        Namespace { metadata: ObjectMeta { name, labels, ..ObjectMeta::default() }, ..Namespace::default() }
    }

    #[test]
    fn a_namespace_without_the_platforms_labels_is_someone_elses() {
        let settings =
            KubernetesSettings { namespace_prefix: "t-".to_owned(), ..KubernetesSettings::new("x") };
        let blog = AppName::parse("blog").expect("a name");
        let ours = |name: &str, labels: &[(&str, &str)]| is_ours(&settings, &blog, &namespace(name, labels));
        let (heritage, platform) = (("heritage", "deis"), ("deis.io/platform", "deis"));

        assert!(ours("t-blog", &[heritage, ("app", "blog"), platform]));
        assert!(ours("t-blog", &[heritage, ("app", "blog")]), "made by an earlier version");
        assert!(!ours("t-blog", &[]));
        assert!(!ours("t-blog", &[("app", "blog"), platform]));
        assert!(!ours("t-blog", &[heritage, ("app", "blog"), ("deis.io/platform", "other")]));
        // The app `t-blog` of a platform without a prefix.
        assert!(!ours("t-blog", &[heritage, ("app", "t-blog")]));
    }
}
