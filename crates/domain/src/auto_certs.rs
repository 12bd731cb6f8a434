//! Certificates that the platform gets by itself: for which domains one is due, how they are called, and how long
//! to rest after a failure. The talk with the certificate authority is the controller's.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// First and longest rest of a domain after failures, which each double it. An authority such as Let's Encrypt
/// refuses a name for an hour after five failures; with these there are at most [`TRIES_AN_HOUR_MAX`].
const REST_FIRST: SignedDuration = SignedDuration::from_mins(10);
const REST_LONGEST: SignedDuration = SignedDuration::from_hours(12);
/// Shortest time after the last try until a user may ask for another one.
const ASKED_AGAIN_MIN: SignedDuration = SignedDuration::from_mins(15);
/// Rest after a failure that is not the domain's: the authority, or the platform itself, did not do its part.
const REST_FOR_OTHERS: SignedDuration = SignedDuration::from_mins(1);
const REST_FOR_OTHERS_LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// An authority may ask for a longer pause than ours; Let's Encrypt for a week.
const REST_ASKED_FOR_LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most orders of one domain that fail within an hour.
pub const TRIES_AN_HOUR_MAX: usize = 5;
/// Longest part of a certificate's name that comes from its domain.
const NAME_CHARS_MAX: usize = 200;

/// The ways for a host to prove its control of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    Http01,
    TlsAlpn01,
}

impl FromStr for ChallengeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "http-01" => Ok(Self::Http01),
            "tls-alpn-01" => Ok(Self::TlsAlpn01),
            "dns-01" => Err("`dns-01` is not offered: expected http-01 or tls-alpn-01".to_owned()),
            other => Err(format!("`{other}`: expected http-01 or tls-alpn-01")),
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        })
    }
}

/// Kind of the next challenge after so many failures: alternating, as a firewall may block one of them.
pub fn challenge_kind(allowed: &[ChallengeKind], failures: u32) -> Option<ChallengeKind> {
    allowed.iter().cycle().nth(failures as usize % allowed.len().max(1)).copied()
}

/// The certificate that a domain is served with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCertificate {
    pub name: String,
    pub expires: Timestamp,
    /// When the next one is due; `None` for one that a user brought.
    pub renew_at: Option<Timestamp>,
}

/// State of a domain's newest order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderProgress {
    /// The authority has an order of ours that has not ended.
    pub is_ordered: bool,
    /// Failures since the last certificate.
    pub failures: u32,
    pub error: Option<String>,
    pub tried: Option<Timestamp>,
    /// No try before this moment.
    pub next_try: Option<Timestamp>,
}

/// State of a domain's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainState {
    /// A name under the platform's domain: served with the platform's certificate.
    Platform,
    /// Needs DNS-01, which is not offered.
    Wildcard,
    /// Served with a certificate that a user brought.
    Uploaded,
    /// Served with one of ours that is good for a while.
    Issued,
    /// One is to be had now.
    Due,
    /// The order is in progress.
    Ordered,
    /// It failed; there is a next try.
    Resting,
}

/// Decides the state of a domain at `now`.
pub fn standing(
    domain: &str,
    served: Option<&ServedCertificate>,
    progress: &OrderProgress,
    now: Timestamp,
) -> DomainState {
    if domain.starts_with("*.") {
        return if served.is_some() { DomainState::Uploaded } else { DomainState::Wildcard };
    }
    let renew_at = match served {
        Some(ServedCertificate { renew_at: None, .. }) => return DomainState::Uploaded,
        Some(ServedCertificate { renew_at: Some(renew_at), .. }) => Some(*renew_at),
        None if !domain.contains('.') => return DomainState::Platform,
        None => None,
    };
    if renew_at.is_some_and(|renew_at| now < renew_at) {
        return DomainState::Issued;
    }
    if progress.next_try.is_some_and(|next_try| now < next_try) {
        return DomainState::Resting;
    }
    if progress.is_ordered { DomainState::Ordered } else { DomainState::Due }
}

/// When a certificate is to be followed by the next one: with a third of its time left.
pub fn renew_at(starts: Timestamp, expires: Timestamp) -> Timestamp {
    let third = expires.duration_since(starts) / 3;
    expires.checked_sub(third).unwrap_or(expires)
}

/// The side that caused a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The domain's: it did not answer as it should, or the authority issues nothing for it.
    Domain,
    /// The authority's or the platform's, which `asked` for a pause this long.
    Elsewhere { asked: Option<SignedDuration> },
}

/// When to try again after the failure number `failures`.
pub fn next_try(fault: Fault, failures: u32, now: Timestamp) -> Timestamp {
    let (first, longest) = match fault {
        Fault::Domain => (REST_FIRST, REST_LONGEST),
        Fault::Elsewhere { .. } => (REST_FOR_OTHERS, REST_FOR_OTHERS_LONGEST),
    };
    let doubled = first.checked_mul(1 << failures.saturating_sub(1).min(16)).unwrap_or(longest);
    let rest = doubled.min(longest);
    let rest = match fault {
        Fault::Elsewhere { asked: Some(asked) } => rest.max(asked.min(REST_ASKED_FOR_LONGEST)),
        _ => rest,
    };
    now.checked_add(rest).unwrap_or(Timestamp::MAX)
}

/// When a domain that rests is tried again after a user has asked for it.
pub fn asked_again(progress: &OrderProgress, now: Timestamp) -> Option<Timestamp> {
    let soonest = progress.tried.and_then(|tried| tried.checked_add(ASKED_AGAIN_MIN).ok()).unwrap_or(now);
    progress.next_try.map(|next_try| next_try.min(soonest.max(now)))
}

/// Name of a domain's certificate; the caller counts `number` up until the name is free.
pub fn cert_name(domain: &str, number: u32) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() { character } else { '-' };
    let name: String = domain.to_ascii_lowercase().chars().map(plain).take(NAME_CHARS_MAX).collect();
    if number == 1 { format!("auto-{name}") } else { format!("auto-{name}-{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(minutes * 60).expect("a time")
    }

    fn served(renew_at: Option<Timestamp>) -> ServedCertificate {
        ServedCertificate { name: "auto-www-foo-com".to_owned(), expires: at(1_000), renew_at }
    }

    fn failed(failures: u32, next_try: Timestamp) -> OrderProgress {
        OrderProgress { failures, next_try: Some(next_try), ..OrderProgress::default() }
    }

    #[test]
    fn a_domain_is_due_without_a_certificate_and_again_near_its_end() {
        let new = OrderProgress::default();
        let standing = |domain, served: Option<ServedCertificate>, progress: &OrderProgress| {
            super::standing(domain, served.as_ref(), progress, at(100))
        };

        assert_eq!(standing("www.foo.com", None, &new), DomainState::Due);
        assert_eq!(standing("www.foo.com", Some(served(Some(at(101)))), &new), DomainState::Issued);
        assert_eq!(standing("www.foo.com", Some(served(Some(at(100)))), &new), DomainState::Due);
        assert_eq!(standing("www.foo.com", Some(served(None)), &new), DomainState::Uploaded);
        assert_eq!(standing("www.foo.com", None, &failed(1, at(101))), DomainState::Resting);
        assert_eq!(standing("www.foo.com", None, &failed(1, at(100))), DomainState::Due);
        let ordered = OrderProgress { is_ordered: true, ..OrderProgress::default() };
        assert_eq!(standing("www.foo.com", None, &ordered), DomainState::Ordered);
    }

    #[test]
    fn wildcards_and_names_of_the_platform_get_none() {
        let new = OrderProgress::default();

        assert_eq!(standing("*.foo.com", None, &new, at(1)), DomainState::Wildcard);
        assert_eq!(standing("*.foo.com", Some(&served(None)), &new, at(1)), DomainState::Uploaded);
        assert_eq!(standing("blog", None, &new, at(1)), DomainState::Platform);
    }

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_time_left() {
        assert_eq!(renew_at(at(0), at(90)), at(60));
        assert_eq!(renew_at(at(90), at(0)), at(30));
    }

    #[test]
    fn no_name_fails_more_often_an_hour_than_authorities_bear_however_often_a_user_asks() {
        let (mut now, mut failures, mut tries) = (at(0), 0, Vec::new());
        while tries.len() < 100 {
            failures += 1;
            tries.push(now);
            let next = next_try(Fault::Domain, failures, now);
            let progress = OrderProgress { tried: Some(now), ..failed(failures, next) };
            now = asked_again(&progress, now).expect("it rests");
        }

        let hour = SignedDuration::from_hours(1);
        for begin in &tries {
            let in_hour = tries.iter().filter(|it| *it >= begin && it.duration_since(*begin) < hour).count();
            assert!(in_hour <= TRIES_AN_HOUR_MAX, "{in_hour} tries within the hour after {begin}");
        }
    }

    #[test]
    fn rests_grow_to_a_bound_and_heed_what_the_authority_asks_for() {
        let rest = |fault, failures| next_try(fault, failures, at(0)).duration_since(at(0));
        let elsewhere = |hours| Fault::Elsewhere { asked: Some(SignedDuration::from_hours(hours)) };

        assert_eq!(rest(Fault::Domain, 1), SignedDuration::from_mins(10));
        assert_eq!(rest(Fault::Domain, 3), SignedDuration::from_mins(40));
        assert_eq!(rest(Fault::Domain, u32::MAX), REST_LONGEST);
        assert_eq!(rest(Fault::Elsewhere { asked: None }, 1), SignedDuration::from_mins(1));
        assert_eq!(rest(Fault::Elsewhere { asked: None }, 99), REST_FOR_OTHERS_LONGEST);
        assert_eq!(rest(elsewhere(3), 1), SignedDuration::from_hours(3));
        assert_eq!(rest(elsewhere(1_000), 1), REST_ASKED_FOR_LONGEST);
    }

    #[test]
    fn ways_to_show_whose_a_host_is_are_taken_in_turn() {
        let both = [ChallengeKind::Http01, ChallengeKind::TlsAlpn01];

        let taken: Vec<_> = (0..3).filter_map(|failures| challenge_kind(&both, failures)).collect();

        assert_eq!(taken, [both[0], both[1], both[0]]);
        assert_eq!(challenge_kind(&[], 1), None);
        for kind in both {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("dns-01".parse::<ChallengeKind>().expect_err("no").contains("not offered"));
    }

    #[test]
    fn a_certificate_is_called_after_its_domain() {
        assert_eq!(cert_name("www.foo.com", 1), "auto-www-foo-com");
        assert_eq!(cert_name("www.foo.com", 2), "auto-www-foo-com-2");
        let longest = cert_name(&"a".repeat(253), 9);
        assert!(longest.len() < crate::certs::CERT_NAME_LENGTH_MAX);
        assert_eq!(crate::certs::check_name(&longest), Ok(()));
    }
}
