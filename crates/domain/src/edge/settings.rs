//! Settings of an app at the edge that the API has: one value from the API to the route table, and its form as
//! annotations of a Service (docs/spec/api.md 6.2).

use serde::{Deserialize, Serialize};

use super::AppRules;
use crate::annotations::AnnotationReader;
use crate::networks::Network;

const MAINTENANCE: &str = "maintenance";
const WHITELIST: &str = "whitelist";
const SSL_ENFORCE: &str = "ssl.enforce";
/// Operators may set it too.
pub(super) const ACCESS_LOG: &str = "accessLog";

/// Settings that users change without a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeSettings {
    /// Answer 503 with the maintenance page.
    pub maintenance: bool,
    /// Logs requests in the app's log.
    #[serde(default)]
    pub access_log: bool,
    /// Addresses and networks that may ask; empty means everyone.
    pub whitelist: Vec<String>,
    /// Answer plain HTTP with 301 to HTTPS.
    pub https_enforced: bool,
}

impl EdgeSettings {
    /// Names and texts of the annotations, without those that others may set where this leaves them open.
    pub fn annotations(&self) -> impl Iterator<Item = (&'static str, String)> {
        let Self { maintenance, access_log, whitelist, https_enforced } = self;
        let texts = [
            (MAINTENANCE, maintenance.to_string()),
            (WHITELIST, whitelist.join(",")),
            (SSL_ENFORCE, https_enforced.to_string()),
            (ACCESS_LOG, if *access_log { "true".to_owned() } else { String::new() }),
        ];
        texts.into_iter().filter(|(_, text)| !text.is_empty())
    }

    /// Reads the annotations; `rules` were read from the same ones.
    pub fn read(reader: &mut AnnotationReader<'_>, rules: &AppRules) -> Self {
        Self {
            maintenance: reader.switch(MAINTENANCE).unwrap_or(false),
            access_log: rules.access_log == Some(true),
            whitelist: whitelist(reader),
            https_enforced: reader.switch(SSL_ENFORCE).unwrap_or(false),
        }
    }
}

fn whitelist(reader: &mut AnnotationReader<'_>) -> Vec<String> {
    let networks = reader.networks(WHITELIST).unwrap_or_default();
    // An empty list lets everyone in, which nobody wrote down.
    if networks.is_empty() && reader.text(WHITELIST).is_some() {
        return vec!["255.255.255.255/32".to_owned()];
    }
    let is_good = |entry: &&str| Network::parse(entry).is_some();
    reader.list(WHITELIST).into_iter().filter(is_good).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::Annotations;
    use crate::edge::app_rules;

    #[test]
    fn settings_are_read_back_from_annotations_as_they_were() {
        let all = EdgeSettings {
            maintenance: true,
            access_log: true,
            whitelist: vec!["10.0.0.0/8".to_owned(), "::1".to_owned()],
            https_enforced: true,
        };
        for settings in [all, EdgeSettings::default()] {
            let texts: Annotations =
                settings.annotations().map(|(key, text)| (format!("a/{key}"), text)).collect();
            let mut reader = AnnotationReader::new(&texts, "a/");
            let rules = app_rules(&mut reader);

            assert_eq!(EdgeSettings::read(&mut reader, &rules), settings);
            assert_eq!(reader.into_wrong(), Vec::<String>::new());
        }
    }
}
