//! Image references: what a user types to name an image, taken apart.
//!
//! The grammar is that of the distribution project's `reference` package:
//! `[host[:port]/]path[:tag][@digest]`, at most 255 characters of name. Short names are completed as
//! Docker does: no host means Docker Hub, no tag and no digest means `latest`.

use std::fmt;

use crate::image::{Digest, Image};
use crate::names::AppName;

/// Longest name (host and path) in characters.
const NAME_LENGTH_MAX: usize = 255;
/// Longest tag in characters.
const TAG_LENGTH_MAX: usize = 128;
/// The host that a reference without one means.
const DOCKER_HUB: &str = "docker.io";

/// Parts of the platform: images `deis/<part>` of theirs are no apps (docs/spec/api.md 5.3).
const PLATFORM_PARTS: &[&str] = &[
    "builder",
    "controller",
    "database",
    "dockerbuilder",
    "etcd",
    "minio",
    "registry",
    "router",
    "slugbuilder",
    "slugrunner",
    "workflow",
    "workflow-manager",
];

/// A well-formed reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// Registry host with its port, `docker.io` when the text names none.
    pub host: String,
    /// Path within the registry, `library/` left out for Docker Hub's own images.
    pub path: String,
    /// `None` only where a digest is given.
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// An invalid image reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("it is empty")]
    Empty,
    #[error("its name must be lower-case words of a-z and 0-9 joined by `.`, `_`, `-` or `/`")]
    Name,
    #[error("its name is longer than {NAME_LENGTH_MAX} characters")]
    TooLong,
    #[error("its registry host is not a host name, optionally followed by `:` and a port")]
    Host,
    #[error(
        "its tag must be 1 to {TAG_LENGTH_MAX} of A-Z, a-z, 0-9, `_`, `.` and `-`, beginning with none of `.-`"
    )]
    Tag,
    #[error("its digest is not sha256: and 64 lower-case hex digits")]
    Digest,
    #[error("it is an image id; name the image as repository:tag")]
    Id,
}

impl ImageReference {
    /// Parses a reference as a user typed it.
    /// A reference without tag and digest gets the tag `latest`.
    ///
    /// # Errors
    ///
    /// The [`ReferenceError`] of the first part that is not valid; [`ReferenceError::Id`] for an image id, which
    /// names no repository.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if is_id(text) {
            return Err(ReferenceError::Id);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(|_| ReferenceError::Digest)?)),
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        if name.len() > NAME_LENGTH_MAX {
            return Err(ReferenceError::TooLong);
        }
        let (host, path) = split_host(name);
        check_host(host)?;
        check_path(path)?;
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag);
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { host: host.to_owned(), path: familiar_path(host, path).to_owned(), tag, digest })
    }

    /// Repository as Docker shows it: the host only when it is not Docker Hub's.
    pub fn repository(&self) -> String {
        if self.host == DOCKER_HUB { self.path.clone() } else { format!("{}/{}", self.host, self.path) }
    }

    /// The name by which a store finds exactly this image: by digest where there is one.
    pub fn pinned_name(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => format!("{}@{digest}", self.repository()),
            (None, Some(tag)) => format!("{}:{tag}", self.repository()),
            (None, None) => self.repository(),
        }
    }

    /// Returns true for an image of the platform itself, from any registry.
    pub fn is_part_of_platform(&self) -> bool {
        let words: Vec<&str> = self.path.split('/').collect();
        words.windows(2).any(|pair| pair[0] == "deis" && PLATFORM_PARTS.contains(&pair[1]))
    }

    /// The app whose image this is, when the reference points into `namespace`, the first part of
    /// the names of all images that this platform made: `<namespace>/<app>`.
    ///
    /// The rest after the app's name is ignored, so that no spelling slips through.
    pub fn app_in(&self, namespace: &str) -> Option<&str> {
        let rest = self.path.strip_prefix(namespace)?.strip_prefix('/')?;
        Some(rest.split('/').next().unwrap_or(rest))
    }

    /// Returns true if the app may use this image: all images but those that the platform made for other apps.
    pub fn may_be_used_by(&self, app: &AppName, namespace: &str) -> bool {
        self.app_in(namespace).is_none_or(|owner| owner == app.as_str())
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Name under which the platform keeps an image for an app: `<namespace>/<app>:<hex of the digest>`.
pub fn kept_name(namespace: &str, app: &AppName, image: &Image) -> String {
    format!("{namespace}/{app}:{}", image.digest().hex())
}

/// Returns true if Docker could read the text as an image id, of which any unique prefix is enough.
fn is_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    hex.len() <= 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        // A colon before the last slash belongs to the host's port.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (text, None),
    }
}

/// The first word is a host only if it looks like one; `library` and `deis` do not.
fn split_host(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => (DOCKER_HUB, name),
    }
}

fn familiar_path<'a>(host: &str, path: &'a str) -> &'a str {
    match path.strip_prefix("library/") {
        Some(official) if host == DOCKER_HUB && !official.contains('/') => official,
        _ => path,
    }
}

fn check_host(host: &str) -> Result<(), ReferenceError> {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port_well = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if name.split('.').all(label) && port_well { Ok(()) } else { Err(ReferenceError::Host) }
}

fn check_path(path: &str) -> Result<(), ReferenceError> {
    if path.split('/').all(is_path_component) { Ok(()) } else { Err(ReferenceError::Name) }
}

/// `[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let joined_well = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    is_word(*first) && is_word(*last) && separators.into_iter().all(joined_well)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=TAG_LENGTH_MAX).contains(&tag.len())
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_references_are_completed_as_docker_does() {
        for (text, whole) in [
            ("python", "python:latest"),
            ("library/python:3.12", "python:3.12"),
            ("docker.io/library/python", "python:latest"),
            ("deis/example-go", "deis/example-go:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b:v1", "localhost:5000/a/b:v1"),
            ("registry.example.com/team_x/a--b.c:V-1.0", "registry.example.com/team_x/a--b.c:V-1.0"),
        ] {
            assert_eq!(
                ImageReference::parse(text).map(|it| it.to_string()),
                Ok(whole.to_owned()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_digest_needs_no_tag_and_wins_over_one() {
        let digest = Digest::of(b"image");

        let bare = ImageReference::parse(&format!("quay.io/a/b@{digest}")).expect("a good reference");
        let tagged = ImageReference::parse(&format!("a/b:v1@{digest}")).expect("a good reference");

        assert_eq!((bare.tag.as_deref(), bare.pinned_name()), (None, format!("quay.io/a/b@{digest}")));
        assert_eq!((tagged.tag.as_deref(), tagged.pinned_name()), (Some("v1"), format!("a/b@{digest}")));
        assert_eq!(tagged.to_string(), format!("a/b:v1@{digest}"));
    }

    #[test]
    fn a_malformed_reference_says_what_is_wrong_with_it() {
        use ReferenceError::{Digest, Empty, Host, Id, Name, Tag, TooLong};
        let long = "a".repeat(255) + "/b";
        for (text, why) in [
            ("", Empty),
            ("UPPER", Name),
            ("a//b", Name),
            ("a b", Name),
            ("../a", Host),
            ("a/../b", Name),
            ("a___b", Name),
            ("-a", Name),
            ("http://a.b/c", Host),
            ("a:", Tag),
            ("a:.b", Tag),
            ("a@sha256:12", Digest),
            ("bad_host.com/a", Host),
            ("host.com:99999/a", Host),
            ("deadbeef", Id),
            ("sha256:deadbeef", Id),
            (&long, TooLong),
        ] {
            assert_eq!(ImageReference::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn parts_of_the_platform_are_no_apps() {
        let is_part = |text: &str| ImageReference::parse(text).is_ok_and(|it| it.is_part_of_platform());

        for part in ["deis/controller:v2", "quay.io/deis/router", "localhost:5000/mirror/deis/etcd"] {
            assert!(is_part(part), "{part}");
        }
        for app in ["deis/example-go", "me/controller", "controller", "mydeis/router", "deis/routers"] {
            assert!(!is_part(app), "{app}");
        }
    }

    #[test]
    fn images_of_other_apps_are_told_apart_however_they_are_written() {
        let blog = AppName::parse("blog").expect("a good name");
        let may = |text: &str| {
            let reference = ImageReference::parse(text).expect("a good reference");
            reference.may_be_used_by(&blog, "deis-one")
        };

        for own_or_public in
            ["deis-one/blog", "deis-one/blog:v1", "deis-two/shop", "deis-one-two/shop", "python"]
        {
            assert!(may(own_or_public), "{own_or_public}");
        }
        for foreign in
            ["deis-one/shop", "docker.io/deis-one/shop:v1", "deis-one/shop/x", "localhost:5/deis-one/shop"]
        {
            assert!(!may(foreign), "{foreign}");
        }
    }
}
