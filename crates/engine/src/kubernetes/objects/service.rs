//! The Service of an app, which says how the app wants to be reached; and the same read back (api.md 6.2).

use std::collections::BTreeMap;

use domain::ProcessType;
use domain::routing::{AppRouting, Claim};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::kubernetes::names::{self, Labels};

/// The port of every Service that is routed.
pub const SERVICE_PORT: i32 = 80;

/// The Service, without what depends on the workloads.
pub fn service(routing: &AppRouting) -> Service {
    let AppRouting { app, target, domains, maintenance, routable, whitelist, https_enforced } = routing;
    let mut labels = names::app_labels(app);
    let is_routable = *routable && target.is_some();
    labels.insert(names::ROUTABLE_LABEL.to_owned(), is_routable.to_string());
    let mut selector = names::app_labels(app);
    selector.extend(target.iter().map(|target| (names::TYPE_LABEL.to_owned(), target.to_string())));
    let hosts: Vec<_> = domains.iter().map(|claim| claim.host.as_str()).collect();
    let claimed: Vec<_> = domains.iter().map(|claim| claim.since_ms.to_string()).collect();
    let annotations = [
        (names::DOMAINS_ANNOTATION, hosts.join(",")),
        (names::CLAIMED_ANNOTATION, claimed.join(",")),
        (names::MAINTENANCE_ANNOTATION, maintenance.to_string()),
        (names::WHITELIST_ANNOTATION, whitelist.join(",")),
        (names::SSL_ENFORCE_ANNOTATION, https_enforced.to_string()),
    ];
    let annotations = annotations.into_iter().filter(|(_, value)| !value.is_empty());
    let mut metadata = metadata(app.as_str(), labels);
    metadata.annotations = Some(annotations.map(|(name, value)| (name.to_owned(), value)).collect());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            selector: Some(selector),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: SERVICE_PORT,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(names::PORT_NAME.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// The process type that the Service sends requests to.
pub fn target(service: &Service) -> Option<ProcessType> {
    let selector = service.spec.as_ref()?.selector.as_ref()?;
    ProcessType::parse(selector.get(names::TYPE_LABEL)?).ok()
}

/// What the annotations of any Service say about its route. One that cannot be read is left out, and told
/// in `wrong`; the rest holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotated {
    pub domains: Vec<Claim>,
    pub maintenance: bool,
    pub whitelist: Vec<String>,
    pub https_enforced: bool,
    /// `None` where nothing says how many replicas there should be.
    pub wanted: Option<u32>,
    pub wrong: Vec<String>,
}

/// Reads the annotations; `claimed_ms` counts for domains that do not say since when they are claimed.
pub fn annotated(annotations: Option<&Labels>, claimed_ms: i64) -> Annotated {
    let empty = BTreeMap::new();
    let mut reader = Reader { annotations: annotations.unwrap_or(&empty), wrong: Vec::new() };
    let mut read = Annotated {
        domains: reader.domains(claimed_ms),
        maintenance: reader.switch(names::MAINTENANCE_ANNOTATION),
        whitelist: reader.whitelist(),
        https_enforced: reader.switch(names::SSL_ENFORCE_ANNOTATION),
        wanted: reader.number(names::WANTED_ANNOTATION),
        wrong: Vec::new(),
    };
    read.wrong = reader.wrong;
    read
}

struct Reader<'a> {
    annotations: &'a Labels,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn list(&self, name: &str) -> Vec<&str> {
        let text = self.annotations.get(name).map_or("", String::as_str);
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()
    }

    fn domains(&mut self, claimed_ms: i64) -> Vec<Claim> {
        let since: Vec<Option<i64>> =
            self.list(names::CLAIMED_ANNOTATION).into_iter().map(|text| text.parse().ok()).collect();
        let hosts = self.list(names::DOMAINS_ANNOTATION);
        let claims = hosts.into_iter().enumerate().map(|(number, host)| Claim {
            host: host.to_ascii_lowercase(),
            since_ms: since.get(number).copied().flatten().unwrap_or(claimed_ms),
        });
        let (good, bad): (Vec<_>, Vec<_>) = claims.partition(|claim| is_host(&claim.host));
        self.wrong.extend(
            bad.into_iter()
                .map(|claim| format!("`{}` in {} is no host name", claim.host, names::DOMAINS_ANNOTATION)),
        );
        good
    }

    fn whitelist(&mut self) -> Vec<String> {
        let entries: Vec<_> = self.list(names::WHITELIST_ANNOTATION).into_iter().map(str::to_owned).collect();
        let (good, bad): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| is_network(entry));
        let nobody_is_meant = good.is_empty() && !bad.is_empty();
        self.wrong.extend(
            bad.into_iter().map(|entry| {
                format!("`{entry}` in {} is no address or network", names::WHITELIST_ANNOTATION)
            }),
        );
        // An empty list lets everyone in, which nobody wrote down.
        if nobody_is_meant { vec!["255.255.255.255/32".to_owned()] } else { good }
    }

    fn switch(&mut self, name: &str) -> bool {
        let Some(text) = self.annotations.get(name) else { return false };
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => true,
            "false" | "" => false,
            _ => {
                self.wrong.push(format!("`{text}` in {name} is neither true nor false"));
                false
            }
        }
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        let text = self.annotations.get(name)?;
        let number = text.trim().parse().ok();
        if number.is_none() {
            self.wrong.push(format!("`{text}` in {name} is no number"));
        }
        number
    }
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

fn is_network(text: &str) -> bool {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let bits_max: u8 = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok_and(|bits| bits <= bits_max))
}

#[cfg(test)]
mod tests {
    use domain::AppName;

    use super::*;

    fn routing() -> AppRouting {
        AppRouting {
            app: AppName::parse("blog").expect("a good name"),
            target: Some(ProcessType::web()),
            domains: vec![
                Claim { host: "blog".to_owned(), since_ms: 1 },
                Claim { host: "*.example.com".to_owned(), since_ms: 7 },
            ],
            maintenance: true,
            routable: true,
            whitelist: vec!["10.0.0.0/8".to_owned(), "::1".to_owned()],
            https_enforced: true,
        }
    }

    #[test]
    fn what_is_wanted_of_a_route_is_read_back_as_it_was() {
        let service = service(&routing());

        let read = annotated(service.metadata.annotations.as_ref(), 99);

        assert_eq!((target(&service), read.wrong.len()), (routing().target, 0));
        assert_eq!((read.domains, read.whitelist), (routing().domains, routing().whitelist));
        assert_eq!((read.maintenance, read.https_enforced, read.wanted), (true, true, None));
    }

    #[test]
    fn an_app_without_a_target_is_not_routable() {
        let nothing = service(&AppRouting { target: None, ..routing() });

        let label = nothing.metadata.labels.and_then(|labels| labels.get(names::ROUTABLE_LABEL).cloned());
        assert_eq!(label.as_deref(), Some("false"));
    }

    #[test]
    fn annotations_made_by_hand_are_read_kindly_and_what_is_wrong_is_told() {
        let annotations = names::labels([
            (names::DOMAINS_ANNOTATION, " WWW.Example.com , bad host,,shop"),
            (names::MAINTENANCE_ANNOTATION, "True"),
            (names::SSL_ENFORCE_ANNOTATION, "sometimes"),
            (names::WANTED_ANNOTATION, "two"),
        ]);

        let read = annotated(Some(&annotations), 5);

        let hosts: Vec<_> = read.domains.iter().map(|claim| (claim.host.as_str(), claim.since_ms)).collect();
        assert_eq!(hosts, [("www.example.com", 5), ("shop", 5)]);
        assert_eq!((read.maintenance, read.https_enforced, read.wanted), (true, false, None));
        assert_eq!(read.wrong.len(), 3, "{:?}", read.wrong);
    }

    #[test]
    fn a_whitelist_of_nothing_but_nonsense_lets_nobody_in() {
        let annotations = names::labels([(names::WHITELIST_ANNOTATION, "10.0.0.0/99, office")]);

        let read = annotated(Some(&annotations), 0);

        assert_eq!((read.whitelist.len(), read.wrong.len()), (1, 2));
    }
}
