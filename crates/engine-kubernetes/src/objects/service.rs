//! The Service of an app, which says how the app wants to be reached; and the same read back (docs/spec/api.md 6.2).

use std::collections::BTreeMap;

use domain::ProcessType;
use domain::annotations::AnnotationReader;
use domain::challenges::{self, Challenge};
use domain::edge::{AppRules, EdgeSettings, app_rules};
use domain::routing::{AppRouting, Claim};
use domain::services;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{certificate, metadata};
use crate::names::{self, Labels};

/// Prefix of annotations that only the platform itself writes.
const OWN_PREFIX: &str = "deis.io/";
/// The port of every Service that is routed.
pub const SERVICE_PORT: i32 = 80;

/// The Service, without what depends on the workloads.
pub fn service(routing: &AppRouting) -> Service {
    let AppRouting {
        app,
        target,
        domains,
        edge,
        routable,
        certificates,
        // Each is a Service of its own: `path_service`.
        services: _,
        challenges,
        // A label of the namespace.
        owner: _,
    } = routing;
    let mut labels = names::app_labels(app);
    let is_routable = *routable && target.is_some();
    labels.insert(names::ROUTABLE_LABEL.to_owned(), is_routable.to_string());
    let mut selector = names::app_labels(app);
    selector.extend(target.iter().map(|target| (names::TYPE_LABEL.to_owned(), target.to_string())));
    let hosts: Vec<_> = domains.iter().map(|claim| claim.host.as_str()).collect();
    let claimed: Vec<_> = domains.iter().map(|claim| claim.since_ms.to_string()).collect();
    let own = [
        (names::DOMAINS_ANNOTATION, hosts.join(",")),
        (names::CLAIMED_ANNOTATION, claimed.join(",")),
        (names::CERTIFICATES_ANNOTATION, certificate::mapping(certificates)),
        (names::STAMPS_ANNOTATION, certificate::stamps(certificates)),
        (names::CHALLENGES_ANNOTATION, challenges::text(challenges)),
    ];
    let own = own.into_iter().filter(|(_, value)| !value.is_empty());
    let own = own.map(|(name, value)| (name.to_owned(), value));
    let of_edge = edge.annotations().map(|(key, value)| (format!("{}{key}", names::ROUTER_PREFIX), value));
    let mut metadata = metadata(app.as_str(), labels);
    metadata.annotations = Some(own.chain(of_edge).collect());
    Service { metadata, spec: Some(spec(selector)), status: None }
}

/// To the port of the pods that these labels select.
pub(super) fn spec(selector: Labels) -> ServiceSpec {
    ServiceSpec {
        selector: Some(selector),
        ports: Some(vec![ServicePort {
            name: Some("http".to_owned()),
            port: SERVICE_PORT,
            protocol: Some("TCP".to_owned()),
            target_port: Some(IntOrString::String(names::PORT_NAME.to_owned())),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    }
}

/// The process type that the Service sends requests to.
pub fn target(service: &Service) -> Option<ProcessType> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    ProcessType::parse(selector.get(names::TYPE_LABEL)?).ok()
}

/// Route settings in the annotations of any Service. One that cannot be read is left out and listed in `wrong`;
/// the rest holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceAnnotations {
    pub domains: Vec<Claim>,
    pub edge: EdgeSettings,
    pub certificates: Vec<NamedCert>,
    pub challenges: Vec<Challenge>,
    pub rules: AppRules,
    /// A domain of another Service of the namespace, and patterns of its paths that come here.
    pub located: Option<(String, String)>,
    /// `None` where nothing says how many replicas there should be.
    pub wanted: Option<u32>,
    pub wrong: Vec<String>,
}

/// A certificate by its name in Kubernetes, and the domains that are to be served with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCert {
    pub name: String,
    pub domains: Vec<String>,
    /// Changes with the Secret; `None` if unknown.
    pub stamp: Option<String>,
}

const PROXY_DOMAIN: &str = "proxyDomain";
const PROXY_LOCATIONS: &str = "proxyLocations";

/// Reads the annotations; `claimed_ms` counts for domains that do not say since when they are claimed.
pub fn annotated(annotations: Option<&Labels>, claimed_ms: i64) -> ServiceAnnotations {
    let empty = BTreeMap::new();
    let annotations = annotations.unwrap_or(&empty);
    let mut own = AnnotationReader::new(annotations, OWN_PREFIX);
    let mut reader = AnnotationReader::new(annotations, names::ROUTER_PREFIX);
    let mut read = read(&mut reader, &mut own, claimed_ms);
    reader.complain_of_others(&[]);
    read.wrong = own.into_wrong();
    read.wrong.extend(reader.into_wrong());
    read
}

fn read(
    reader: &mut AnnotationReader<'_>,
    own: &mut AnnotationReader<'_>,
    claimed_ms: i64,
) -> ServiceAnnotations {
    let rules = app_rules(reader);
    ServiceAnnotations {
        domains: domains(reader, own, claimed_ms),
        edge: EdgeSettings::read(reader, &rules),
        certificates: certificates(reader, own),
        challenges: own.list("challenges").into_iter().filter_map(challenges::read).collect(),
        rules,
        located: located(reader),
        wanted: own.number("wanted"),
        wrong: Vec::new(),
    }
}

fn domains(reader: &mut AnnotationReader<'_>, own: &AnnotationReader<'_>, claimed_ms: i64) -> Vec<Claim> {
    let since: Vec<Option<i64>> = own.list("claimed").into_iter().map(|text| text.parse().ok()).collect();
    let hosts = reader.list("domains");
    let claims = hosts.into_iter().enumerate().map(|(number, host)| Claim {
        host: host.to_ascii_lowercase(),
        since_ms: since.get(number).copied().flatten().unwrap_or(claimed_ms),
    });
    let (good, bad): (Vec<_>, Vec<_>) = claims.partition(|claim| is_host(&claim.host));
    for claim in bad {
        reader.complain("domains", format!("`{}` is no host name", claim.host));
    }
    good
}

fn certificates(reader: &mut AnnotationReader<'_>, own: &AnnotationReader<'_>) -> Vec<NamedCert> {
    let stamps: BTreeMap<_, _> =
        own.list("certificates").into_iter().filter_map(|pair| pair.split_once(':')).collect();
    let mut certificates: BTreeMap<String, NamedCert> = BTreeMap::new();
    for pair in reader.list("certificates") {
        let named = pair.rsplit_once(':').map(|(host, name)| (host.to_ascii_lowercase(), name));
        let is_good = |(host, name): &(String, &str)| is_host(host) && is_host(name);
        let Some((host, name)) = named.filter(is_good) else {
            reader.complain("certificates", format!("`{pair}` is not a domain, a colon and a certificate"));
            continue;
        };
        let stamp = stamps.get(name).map(|stamp| (*stamp).to_owned());
        let new = || NamedCert { name: name.to_owned(), domains: Vec::new(), stamp };
        certificates.entry(name.to_owned()).or_insert_with(new).domains.push(host);
    }
    certificates.into_values().collect()
}

fn located(reader: &mut AnnotationReader<'_>) -> Option<(String, String)> {
    let patterns = reader.read(PROXY_LOCATIONS, "patterns of paths with commas between them", |text| {
        services::are_patterns(text).then(|| text.to_owned())
    });
    Some((reader.text(PROXY_DOMAIN)?.to_ascii_lowercase(), patterns?))
}

/// Letters, digits, `-` and `.`, with `*` as the first label at most.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
            })
    };
    host.len() <= 253 && host.strip_prefix("*.").unwrap_or(host).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use domain::AppName;
    use domain::certs::{AttachedCert, Pair};
    use domain::edge::app_keys;

    use super::*;

    fn routing() -> AppRouting {
        AppRouting {
            app: AppName::parse("blog").expect("a good name"),
            target: Some(ProcessType::web()),
            domains: vec![
                Claim { host: "blog".to_owned(), since_ms: 1 },
                Claim { host: "*.example.com".to_owned(), since_ms: 7 },
            ],
            edge: EdgeSettings {
                maintenance: true,
                access_log: true,
                whitelist: vec!["10.0.0.0/8".to_owned(), "::1".to_owned()],
                https_enforced: true,
            },
            routable: true,
            certificates: vec![AttachedCert {
                name: "foo-com".to_owned(),
                domains: vec!["blog".to_owned(), "*.example.com".to_owned()],
                pair: Arc::new(Pair { certificate: "chain".to_owned(), key: "key".to_owned() }),
            }],
            services: Vec::new(),
            challenges: vec![Challenge::parse("www.example.com", "to-k_en.thumb").expect("a good one")],
            owner: None,
        }
    }

    #[test]
    fn what_is_wanted_of_a_route_is_read_back_as_it_was() {
        let service = service(&routing());

        let read = annotated(service.metadata.annotations.as_ref(), 99);

        assert_eq!((target(&service), read.wrong.len()), (routing().target, 0));
        assert_eq!(read.challenges, routing().challenges);
        assert_eq!((read.domains, read.edge), (routing().domains, routing().edge));
        assert_eq!(read.wanted, None);
        assert_eq!(read.rules.access_log, Some(true));
        let [cert] = &read.certificates[..] else { panic!("one certificate: {:?}", read.certificates) };
        assert_eq!((cert.name.as_str(), &cert.domains), ("foo-com", &routing().certificates[0].domains));
        assert_eq!(cert.stamp, Some(certificate::stamp(&routing().certificates[0].pair)));
    }

    #[test]
    fn annotations_go_with_what_they_say() {
        let bare = AppRouting { certificates: Vec::new(), edge: EdgeSettings::default(), ..routing() };

        let annotations = service(&bare).metadata.annotations.expect("some");

        for gone in [
            names::CERTIFICATES_ANNOTATION,
            names::STAMPS_ANNOTATION,
            "router.deis.io/whitelist",
            "router.deis.io/accessLog",
        ] {
            assert!(!annotations.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn an_app_without_a_target_is_not_routable() {
        let nothing = service(&AppRouting { target: None, ..routing() });

        let label = nothing.metadata.labels.and_then(|labels| labels.get(names::ROUTABLE_LABEL).cloned());
        assert_eq!(label.as_deref(), Some("false"));
    }

    #[test]
    fn each_annotation_of_the_platform_is_read() {
        type Seen = fn(&ServiceAnnotations) -> bool;
        let rows: [(&str, &str, Seen); 7] = [
            ("domains", "WWW.foo.com", |read| read.domains.iter().any(|claim| claim.host == "www.foo.com")),
            ("certificates", "www.foo.com:foo", |read| {
                read.certificates.iter().any(|cert| cert.name == "foo" && cert.domains == ["www.foo.com"])
            }),
            (PROXY_DOMAIN, "Blog", |read| read.located == Some(("blog".to_owned(), "/a".to_owned()))),
            (PROXY_LOCATIONS, "/b", |read| read.located == Some(("shop".to_owned(), "/b".to_owned()))),
            ("maintenance", "TRUE", |read| read.edge.maintenance),
            ("whitelist", "10.0.0.0/8, ::1", |read| read.edge.whitelist == ["10.0.0.0/8", "::1"]),
            ("ssl.enforce", "On", |read| read.edge.https_enforced),
        ];
        let none = Labels::new();
        let [mut reader, mut own] = [(); 2].map(|()| AnnotationReader::new(&none, ""));
        super::read(&mut reader, &mut own, 0);
        let keys = reader.keys();
        assert_eq!(BTreeSet::from(rows.map(|(key, _, _)| key)), &keys - &app_keys());
        let beside = [(PROXY_DOMAIN, "shop"), (PROXY_LOCATIONS, "/a")];
        for (key, text, seen) in rows {
            let named =
                |(key, text): (&str, &str)| (format!("{}{key}", names::ROUTER_PREFIX), text.to_owned());
            let mut annotations: Labels = beside.map(named).into();
            assert!(!seen(&annotated(Some(&annotations), 0)), "{key} without the annotation");

            annotations.extend([named((key, text))]);

            let read = annotated(Some(&annotations), 0);
            assert!(seen(&read) && read.wrong.is_empty(), "{key}: {:?}", read.wrong);
        }
    }

    #[test]
    fn annotations_made_by_hand_are_read_kindly_and_what_is_wrong_is_told() {
        let annotations = names::labels([
            (names::DOMAINS_ANNOTATION, " WWW.Example.com , bad host,,shop"),
            ("router.deis.io/maintenance", "True"),
            ("router.deis.io/ssl.enforce", "sometimes"),
            (names::WANTED_ANNOTATION, "two"),
            (names::CERTIFICATES_ANNOTATION, "*.Example.com:mine, nonsense"),
            ("router.deis.io/tcpTimeout", "20m"),
            ("router.deis.io/bodySize", "huge"),
            ("router.deis.io/regexDomain", "x"),
            ("router.deis.io/proxyDomain", "blog"),
            ("router.deis.io/proxyLocations", "/a("),
        ]);

        let read = annotated(Some(&annotations), 5);

        let hosts: Vec<_> = read.domains.iter().map(|claim| (claim.host.as_str(), claim.since_ms)).collect();
        assert_eq!(hosts, [("www.example.com", 5), ("shop", 5)]);
        assert_eq!((read.edge.maintenance, read.edge.https_enforced, read.wanted), (true, false, None));
        let cert =
            NamedCert { name: "mine".to_owned(), domains: vec!["*.example.com".to_owned()], stamp: None };
        assert_eq!(read.certificates, [cert]);
        assert_eq!((read.rules.timeout, read.rules.body_bytes_max), (Some(Duration::from_secs(1_200)), None));
        assert_eq!((read.wrong.len(), read.located), (7, None), "{:?}", read.wrong);
    }

    #[test]
    fn a_whitelist_of_nothing_but_nonsense_lets_nobody_in() {
        let annotations = names::labels([("router.deis.io/whitelist", "10.0.0.0/99, office")]);

        let read = annotated(Some(&annotations), 0);

        assert_eq!((read.edge.whitelist.len(), read.wrong.len()), (1, 2));
    }
}
