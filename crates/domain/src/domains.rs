//! Domains: host names that an app claims besides its own, and the rules for claims.
//!
//! Texts and rules: docs/spec/api.md 4.14.

use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use crate::lookalikes;
use crate::names::AppName;

/// Longest host name in the DNS, in characters (RFC 1035 2.3.4).
pub(crate) const NAME_LENGTH_MAX: usize = 253;
/// Longest label, in characters.
const LABEL_LENGTH_MAX: usize = 63;
/// Characters that no label may contain: all of ASCII but letters, digits, hyphens, and the underscore of service
/// names (RFC 2782; allowed by RFC 2181 section 11).
const DENIED: AsciiDenyList = AsciiDenyList::new(true, " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");
/// Domains that an app may have where the operator says nothing else.
pub const DOMAINS_PER_APP: u32 = 100;

/// Longest text that is worth converting: four bytes for each character that a name can have.
const INPUT_BYTES_MAX: usize = 4 * NAME_LENGTH_MAX;

/// A host name in its stored form: lower case, A-labels, no trailing dot; may start with `*.`.
///
/// Without a dot it means the name under the platform domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(String);

/// A domain that was refused. The display text is the answer of the API.
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
    #[error("The domain {host} overlaps with or lies below one that an application of another user has")]
    Overlaps { host: String },
    #[error(
        "{host} is a name of the platform: under {platform_domain}, this app may only have {app}.{platform_domain}"
    )]
    Platform { host: String, platform_domain: String, app: AppName },
    #[error("{host} is a public suffix, under which anybody may have names; nobody can claim it")]
    PublicSuffix { host: String },
    #[error("{host} is easily taken for a name of the platform; choose another")]
    Lookalike { host: String },
    #[error("An app may have {most} domains; remove one first")]
    TooMany { most: u32 },
    #[error(
        "{host} covers names of the platform domain {platform_domain}; choose a wildcard under a domain of your own"
    )]
    CoversPlatform { host: String, platform_domain: String },
    #[error(
        "No proof that {owner} controls {host}: {found}. Set it to {value} where you keep the DNS records of {host}, \
         then try again; it may take minutes until all DNS servers have it"
    )]
    Unproven { host: String, owner: String, found: String, value: String },
    #[error("{host} is too long for a proof: {record} is no name in the DNS")]
    TooLongToProve { host: String, record: String },
}

impl DomainName {
    /// Reads a host name as a user typed it, in Unicode or ASCII.
    ///
    /// # Errors
    ///
    /// [`DomainError::OnlyWildcard`], [`DomainError::NotAce`], [`DomainError::NumericEnd`] or
    /// [`DomainError::TooLong`] (docs/spec/api.md 4.14).
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

    /// The name in its stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Error for a name that is already claimed; `input` is the name as typed.
    pub fn taken(&self, input: &str) -> DomainError {
        if input == self.0 {
            DomainError::Taken
        } else {
            DomainError::TakenOnceNormalised { input: input.to_owned() }
        }
    }

    /// Returns true if one of the two is a wildcard over the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Returns true if this name, a wildcard or not, lies below the other. A bare label is a name under the
    /// platform domain, not a top-level domain.
    pub fn lies_below(&self, other: &Self) -> bool {
        let parent = other.without_wildcard();
        parent.contains('.') && is_below(&self.0, parent)
    }

    /// The name without `*.`.
    pub(crate) fn without_wildcard(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }

    /// A wildcard covers every name below it, however deep.
    fn covers(&self, other: &Self) -> bool {
        self.0.strip_prefix("*.").is_some_and(|parent| is_below(other.as_str(), parent))
    }

    /// Returns true for the name that the platform gives to the app.
    pub fn is_own_host_of(&self, app: &AppName, platform_domain: &str) -> bool {
        self.0 == app.as_str() || self.0 == format!("{app}.{platform_domain}")
    }

    /// Refuses names of the platform and of its other apps, wildcards over them, look-alikes of them, and public
    /// suffixes.
    ///
    /// # Errors
    ///
    /// [`DomainError::CoversPlatform`], [`DomainError::Platform`], [`DomainError::PublicSuffix`] or
    /// [`DomainError::Lookalike`].
    pub fn check_free_of_platform(&self, app: &AppName, platform_domain: &str) -> Result<(), DomainError> {
        if self.is_own_host_of(app, platform_domain) {
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
        // A bare label means the name under the platform domain.
        let is_bare = !self.0.contains('.');
        if is_bare || self.0 == platform_domain || is_below(&self.0, platform_domain) {
            return Err(DomainError::Platform {
                host: self.0.clone(),
                platform_domain: platform_domain.to_owned(),
                app: app.clone(),
            });
        }
        if self.is_public_suffix() {
            return Err(DomainError::PublicSuffix { host: self.0.clone() });
        }
        if lookalikes::poses_below(self.without_wildcard(), platform_domain) {
            return Err(DomainError::Lookalike { host: self.0.clone() });
        }
        Ok(())
    }

    /// Returns true for a public suffix, a wildcard over one, and a wildcard over a top-level domain that no list
    /// has.
    fn is_public_suffix(&self) -> bool {
        let name = self.without_wildcard();
        !name.contains('.') || psl::suffix_str(name).is_some_and(|suffix| suffix == name)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns true if `name` is a subdomain of `parent`.
fn is_below(name: &str, parent: &str) -> bool {
    name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

/// Converts each label to its A-label (IDNA 2008 with the usual mapping to lower case).
fn to_ascii(name: &str) -> Result<String, &'static str> {
    // Hyphens in the third and fourth place are left alone: app names and real hosts have them.
    let host = Uts46::new()
        .to_ascii(name.as_bytes(), DENIED, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map_err(|_| "labels may hold letters, digits, underscores and inner hyphens only")?;
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
        DomainName::parse(host)?.check_free_of_platform(&app(), "apps.example.com")
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
            ("My_App.foo.com", "my_app.foo.com"),
            ("_acme.foo.com", "_acme.foo.com"),
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
            "a b",
            "a$b.com",
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
            "example.com",
            "my_app.example.org",
            "foo.co.uk",
            "*.foo.co.uk",
            "foo.github.io",
            "exemple.com",
            "*.www.example.com",
            "myapps.example.com",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for platform in [
            "deis",
            "deis-builder",
            "other",
            "com",
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
        for suffix in [
            "*.net",
            "*.co.uk",
            "co.uk",
            "CO.UK.",
            "github.io",
            "*.github.io",
            "*.foo.ck",
            "*.internal",
            "公司.cn",
            "*.公司.cn",
            "*.xn--p1ai",
        ] {
            assert!(matches!(check(suffix), Err(DomainError::PublicSuffix { .. })), "{suffix}");
        }
        for posing in
            ["apps.examp1e.com", "www.apps.exаmple.com", "*.apps.exаmple.com", "dels.apps.example.c0m"]
        {
            assert!(matches!(check(posing), Err(DomainError::Lookalike { .. })), "{posing}");
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
    fn a_name_lies_below_another_whether_either_is_a_wildcard() {
        let name = |text| DomainName::parse(text).expect("a good domain");

        for (below, above) in
            [("www.foo.com", "foo.com"), ("*.www.foo.com", "foo.com"), ("*.foo.com", "foo.com")]
        {
            assert!(name(below).lies_below(&name(above)), "{below} {above}");
        }
        assert!(name("a.b.foo.com").lies_below(&name("*.foo.com")));
        for (one, other) in [("foo.com", "foo.com"), ("foo.com", "www.foo.com"), ("myfoo.com", "foo.com")] {
            assert!(!name(one).lies_below(&name(other)), "{one} {other}");
        }
        assert!(!name("www.blog").lies_below(&name("blog")));
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
