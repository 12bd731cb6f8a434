//! Access to images: by nodes that pull them, and by the platform from the same registry.

use std::fmt;

use domain::image_reference::ImageReference;
use domain::registry_access::{AccessKey, Credential};
use domain::{AppName, Image};
use jiff::Timestamp;
use outbound::OutboundPolicy;

use oci::{Access, Login, Repository, Transport};

/// The registry of built images and of copies of the users' images.
#[derive(Debug, Clone)]
pub struct ImageRegistrySettings {
    /// Prefix of the pods' image references, such as `127.0.0.1:5555`.
    pub node_host: String,
    /// As the platform's own processes reach it, such as `http://deis-registry.deis.svc.cluster.local`.
    pub push_url: String,
    pub access: RegistryAccess,
    /// Copies images of users into the registry and runs the copies; otherwise nodes pull them from their origin.
    pub keeps_copies: bool,
    /// Registries of others that speak plain HTTP, each as `host` or `host:port`.
    pub insecure_hosts: Vec<String>,
    /// Addresses that may be connected to for users.
    pub outbound: OutboundPolicy,
}

impl ImageRegistrySettings {
    /// Reference by which nodes pull an app's image.
    pub fn reference(&self, app: &AppName, image: &Image) -> String {
        match image {
            Image::External { reference, digest } if !self.keeps_copies => pinned(reference, digest),
            _ => format!("{}/{app}@{}", self.node_host, image.digest()),
        }
    }

    /// Pull credential of an app's pods.
    pub fn pull_credential(&self, app: &AppName) -> Credential {
        match &self.access {
            RegistryAccess::Managed { key } => key.access_key().for_app(app),
            RegistryAccess::External { username, password } => {
                Credential { username: username.clone(), password: password.0.clone() }
            }
        }
    }

    /// Push credential of the last step of a build, valid until then.
    pub fn build_credential(&self, app: &AppName, until: Timestamp) -> Credential {
        match &self.access {
            RegistryAccess::Managed { key } => key.access_key().for_build(app, until.as_second()),
            RegistryAccess::External { .. } => self.pull_credential(app),
        }
    }

    /// A repository as the platform itself reaches it.
    pub fn repository(&self, transport: &Transport, name: &str, access: Access) -> Repository {
        let login = match &self.access {
            RegistryAccess::Managed { key } => key.access_key().for_controller(),
            RegistryAccess::External { username, password } => {
                Credential { username: username.clone(), password: password.0.clone() }
            }
        };
        let Credential { username, password } = login;
        let (base, prefix) = self.push_place();
        Repository::new(
            transport,
            base,
            &format!("{prefix}{name}"),
            Some(Login { username, password }),
            access,
        )
    }

    /// Scheme, host and port as the platform reaches it, and what all repositories begin with.
    pub fn push_place(&self) -> (&str, String) {
        split_url(&self.push_url)
    }

    /// The repository that a reference names, if it is one of this registry.
    pub fn own_repository<'a>(&self, reference: &'a ImageReference) -> Option<&'a str> {
        let (base, push_prefix) = self.push_place();
        let push_host = base.split("//").nth(1).unwrap_or_default();
        let (node_host, node_prefix) = self.node_host.split_once('/').unwrap_or((&self.node_host, ""));
        let places = [(node_host, node_prefix), (push_host, push_prefix.trim_end_matches('/'))];
        places.into_iter().filter(|(host, _)| *host == reference.host).find_map(|(_, prefix)| {
            let path = reference.path.strip_prefix(prefix)?;
            if prefix.is_empty() { Some(path) } else { path.strip_prefix('/') }
        })
    }

    /// Scheme, host and port of any registry.
    pub fn base_of(&self, host: &str) -> String {
        engine::origin::base_of(host, &self.insecure_hosts)
    }
}

fn pinned(reference: &str, digest: &domain::Digest) -> String {
    let repository = ImageReference::parse(reference).map(|parsed| parsed.repository());
    format!("{}@{digest}", repository.unwrap_or_else(|_| reference.to_owned()))
}

/// Scheme, host and port; and the path, with a slash at its end unless it is empty.
fn split_url(url: &str) -> (&str, String) {
    let after_scheme = url.find("//").map_or(0, |at| at + 2);
    let path_at = url[after_scheme..].find('/').map_or(url.len(), |at| after_scheme + at);
    let path = url[path_at..].trim_matches('/');
    (&url[..path_at], if path.is_empty() { String::new() } else { format!("{path}/") })
}

/// Authentication of the registry.
#[derive(Debug, Clone)]
pub enum RegistryAccess {
    /// The managed registry: each app has a credential of its own, derived from this key.
    Managed { key: RegistryKey },
    /// A registry of the operator's.
    External { username: String, password: RegistryKey },
}

/// A secret; never shown.
#[derive(Clone)]
pub struct RegistryKey(pub String);

impl RegistryKey {
    pub fn access_key(&self) -> AccessKey {
        AccessKey::new(self.0.as_bytes())
    }
}

impl fmt::Debug for RegistryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use domain::Digest;

    use super::*;

    fn settings(node_host: &str, push_url: &str) -> ImageRegistrySettings {
        ImageRegistrySettings {
            node_host: node_host.to_owned(),
            push_url: push_url.to_owned(),
            access: RegistryAccess::Managed { key: RegistryKey("secret".to_owned()) },
            keeps_copies: true,
            insecure_hosts: vec!["registry.test:5000".to_owned()],
            outbound: OutboundPolicy::default(),
        }
    }

    #[test]
    fn images_are_pulled_from_the_platforms_registry_unless_it_keeps_no_copies() {
        let blog = AppName::parse("blog").expect("a name");
        let digest = Digest::of(b"x");
        let external = Image::External { reference: "redis:7".to_owned(), digest: digest.clone() };
        let built = Image::Built { app: blog.clone(), digest: digest.clone() };
        let mut settings = settings("127.0.0.1:5555", "http://deis-registry.deis");

        for image in [&external, &built] {
            assert_eq!(settings.reference(&blog, image), format!("127.0.0.1:5555/blog@{digest}"));
        }
        settings.keeps_copies = false;
        assert_eq!(settings.reference(&blog, &external), format!("redis@{digest}"));
        assert_eq!(settings.reference(&blog, &built), format!("127.0.0.1:5555/blog@{digest}"));
    }

    #[test]
    fn a_reference_into_the_registry_is_known_by_either_of_its_names() {
        let own = |settings: &ImageRegistrySettings, reference: &str| {
            let parsed = ImageReference::parse(reference).expect("a reference");
            settings.own_repository(&parsed).map(str::to_owned)
        };
        let managed = settings("127.0.0.1:5555", "http://deis-registry.deis:80");
        assert_eq!(own(&managed, "127.0.0.1:5555/blog:x").as_deref(), Some("blog"));
        assert_eq!(own(&managed, "deis-registry.deis:80/blog/cache").as_deref(), Some("blog/cache"));
        assert_eq!(own(&managed, "registry.example.com/blog"), None);

        let shared = settings("registry.example.com/team", "https://registry.example.com/team");
        assert_eq!(own(&shared, "registry.example.com/team/blog").as_deref(), Some("blog"));
        assert_eq!(own(&shared, "registry.example.com/teams/blog"), None);
    }

    #[test]
    fn registries_speak_https_unless_they_are_listed_or_on_loopback() {
        let settings = settings("127.0.0.1:5555", "http://deis-registry.deis");
        assert_eq!(settings.base_of("docker.io"), "https://registry-1.docker.io");
        assert_eq!(settings.base_of("ghcr.io"), "https://ghcr.io");
        assert_eq!(settings.base_of("registry.test:5000"), "http://registry.test:5000");
        assert_eq!(settings.base_of("localhost:5000"), "http://localhost:5000");
    }
}
