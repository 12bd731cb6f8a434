//! Domains: host names that an app claims besides its own, and who may claim which.
//!
//! Texts are those of api.md 4.14; what is refused because it is the platform's or another app's is
//! decided in architecture.md, "Hosts".

use std::collections::BTreeSet;
use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use crate::names::AppName;

/// Longest host name in the DNS, in characters (RFC 1035 2.3.4).
const NAME_LENGTH_MAX: usize = 253;
/// Longest label, in characters.
const LABEL_LENGTH_MAX: usize = 63;
/// Longest text that is worth converting: four bytes for each character that a name can have.
const INPUT_BYTES_MAX: usize = 4 * NAME_LENGTH_MAX;

/// A host name as it is kept: lower case, A-labels, no trailing dot; may start with `*.`.
///
/// Without a dot it means the name under the platform domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

/// Why a domain cannot be had. The display text is what the API answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    #[error("Hostname can't only be a wildcard")]
    OnlyWildcard,
    #[error("Hostname does not look valid, could not convert to ACE {input}: {reason}")]
    NotAce { input: String, reason: &'static str },
    #[error("Hostname does not look valid.")]
    NumericEnd,
    #[error("Hostname must be {NAME_LENGTH_MAX} characters or less.")]
    TooLong,
    #[error("Domain is already in use by another application")]
    Taken,
    #[error("The domain {input} is already in use by another app")]
    TakenOnceNormalised { input: String },
    #[error("The domain {host} overlaps with one that an application of another user has")]
    Overlaps { host: String },
    #[error(
        "{host} is a name of the platform: under {platform_domain}, this app may only have {app}.{platform_domain}"
    )]
    Platform { host: String, platform_domain: String, app: AppName },
    #[error(
        "{host} covers names of the platform domain {platform_domain}; choose a wildcard under a domain of your own"
    )]
    CoversPlatform { host: String, platform_domain: String },
}

impl DomainName {
    /// Reads a host name as a user typed it, in Unicode or ASCII.
    pub fn parse(input: &str) -> Result<Self, DomainError> {
        if input.len() > INPUT_BYTES_MAX {
            return Err(DomainError::TooLong);
        }
        let name = input.strip_suffix('.').unwrap_or(input);
        if name == "*" {
            return Err(DomainError::OnlyWildcard);
        }
        let (wildcard, rest) = match name.strip_prefix("*.") {
            Some(rest) => ("*.", rest),
            None => ("", name),
        };
        let host =
            to_ascii(rest).map_err(|reason| DomainError::NotAce { input: input.to_owned(), reason })?;
        let last = host.rsplit('.').next().unwrap_or(&host);
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DomainError::NumericEnd);
        }
        if wildcard.len() + host.len() > NAME_LENGTH_MAX {
            return Err(DomainError::TooLong);
        }
        Ok(Self(format!("{wildcard}{host}")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What to answer when this name, typed as `input`, is already claimed.
    pub fn taken(&self, input: &str) -> DomainError {
        if input == self.0 {
            DomainError::Taken
        } else {
            DomainError::TakenOnceNormalised { input: input.to_owned() }
        }
    }

    /// Whether one of the two is a wildcard over the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// A wildcard covers every name below it, however deep.
    fn covers(&self, other: &Self) -> bool {
        self.0.strip_prefix("*.").is_some_and(|parent| is_below(other.as_str(), parent))
    }

    /// Refuses names of the platform and of its other apps, and wildcards over them.
    ///
    /// `reserved` are names that no app may have. Whether a bare label is the name of another app is
    /// for the store to find out together with the write.
    pub fn check_free_of_platform(
        &self,
        app: &AppName,
        platform_domain: &str,
        reserved: &BTreeSet<String>,
    ) -> Result<(), DomainError> {
        let own_host = format!("{app}.{platform_domain}");
        if self.0 == app.as_str() || self.0 == own_host {
            return Ok(());
        }
        let covers_platform = self
            .0
            .strip_prefix("*.")
            .is_some_and(|parent| parent == platform_domain || is_below(platform_domain, parent));
        if covers_platform {
            return Err(DomainError::CoversPlatform {
                host: self.0.clone(),
                platform_domain: platform_domain.to_owned(),
            });
        }
        let is_reserved = reserved.contains(&self.0);
        if is_reserved || self.0 == platform_domain || is_below(&self.0, platform_domain) {
            return Err(DomainError::Platform {
                host: self.0.clone(),
                platform_domain: platform_domain.to_owned(),
                app: app.clone(),
            });
        }
        Ok(())
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `name` lies below `parent` in the tree of names.
fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

/// Converts each label to its A-label (IDNA 2008 with the usual mapping to lower case).
fn to_ascii(name: &str) -> Result<String, &'static str> {
    // Hyphens in the third and fourth place are left alone: app names and real hosts have them.
    let host = Uts46::new()
        .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map_err(|_| "labels may hold letters, digits and inner hyphens only")?;
    for label in host.split('.') {
        if label.is_empty() {
            return Err("a label is empty");
        }
        if label.len() > LABEL_LENGTH_MAX {
            return Err("a label is longer than 63 characters");
        }
    }
    Ok(host.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> AppName {
        AppName::parse("blog").expect("a good name")
    }

    fn check(host: &str) -> Result<(), DomainError> {
        let reserved = ["deis", "deis-builder"].map(str::to_owned).into();
        DomainName::parse(host)?.check_free_of_platform(&app(), "apps.example.com", &reserved)
    }

    #[test]
    fn a_domain_is_kept_in_lower_case_a_labels_without_a_trailing_dot() {
        for (input, kept) in [
            ("www.foo.com", "www.foo.com"),
            ("test.local", "test.local"),
            ("foo", "foo"),
            ("*.foo.com", "*.foo.com"),
            ("foo.com.", "foo.com"),
            ("ümlaut.com", "xn--mlaut-jva.com"),
            ("UPPER.com", "upper.com"),
            ("xn--MLAUT-jva.com", "xn--mlaut-jva.com"),
            ("r4---sn.foo.com", "r4---sn.foo.com"),
            ("1.2.3.4a", "1.2.3.4a"),
        ] {
            assert_eq!(DomainName::parse(input).as_ref().map(DomainName::as_str), Ok(kept), "{input}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused_with_the_reason() {
        for input in ["*", "*."] {
            assert_eq!(DomainName::parse(input), Err(DomainError::OnlyWildcard), "{input}");
        }
        for input in ["1.2.3.4", "example.123", "5", "*.5"] {
            assert_eq!(DomainName::parse(input), Err(DomainError::NumericEnd), "{input}");
        }
        let long_label = format!("{}.com", "a".repeat(64));
        for input in [
            "foo.*.com",
            "*.foo.*.com",
            "a_b.com",
            "a b",
            "-a.com",
            "a-.com",
            "a..com",
            ".",
            "::1",
            "a/b.com",
            "xn--a.com",
            &long_label,
        ] {
            let error = DomainName::parse(input).expect_err(input).to_string();
            let start = format!("Hostname does not look valid, could not convert to ACE {input}: ");
            assert!(error.starts_with(&start) && error.len() > start.len(), "{error}");
        }
        let long = ["a".repeat(63).as_str(); 4].join(".");
        assert_eq!(DomainName::parse(&long), Err(DomainError::TooLong));
        assert_eq!(DomainName::parse(&"ü".repeat(10_000)), Err(DomainError::TooLong));
    }

    #[test]
    fn names_of_the_platform_and_wildcards_over_them_are_refused() {
        for good in [
            "blog",
            "blog.apps.example.com",
            "www.foo.com",
            "*.foo.com",
            "other",
            "example.com",
            "*.www.example.com",
            "myapps.example.com",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for platform in [
            "deis",
            "deis-builder",
            "apps.example.com",
            "deis.apps.example.com",
            "shop.apps.example.com",
            "a.blog.apps.example.com",
            "*.blog.apps.example.com",
        ] {
            assert!(matches!(check(platform), Err(DomainError::Platform { .. })), "{platform}");
        }
        for wide in ["*.apps.example.com", "*.example.com", "*.com"] {
            assert!(matches!(check(wide), Err(DomainError::CoversPlatform { .. })), "{wide}");
        }
    }

    #[test]
    fn a_wildcard_overlaps_all_names_below_it() {
        let name = |text| DomainName::parse(text).expect("a good domain");

        assert!(name("*.foo.com").overlaps(&name("www.foo.com")));
        assert!(name("a.b.foo.com").overlaps(&name("*.foo.com")));
        assert!(name("*.b.foo.com").overlaps(&name("*.foo.com")));
        assert!(!name("*.foo.com").overlaps(&name("foo.com")));
        assert!(!name("*.foo.com").overlaps(&name("myfoo.com")));
        assert!(!name("www.foo.com").overlaps(&name("www.foo.com")));
    }

    #[test]
    fn a_taken_domain_is_told_apart_from_one_that_is_taken_in_another_spelling() {
        let name = DomainName::parse("ümlaut.com").expect("a good domain");

        assert_eq!(
            name.taken("xn--mlaut-jva.com").to_string(),
            "Domain is already in use by another application"
        );
        assert_eq!(
            name.taken("ümlaut.com").to_string(),
            "The domain ümlaut.com is already in use by another app"
        );
    }
}
