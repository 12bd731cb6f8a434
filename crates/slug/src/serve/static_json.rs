//! `static.json`: rules of a static site, as the static buildpack of Heroku reads them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::glob::Glob;
use super::redirects::{RULES_MAX, Redirect};
use crate::failure::SlugError;

/// Name of the file at the root of the source.
pub const FILE: &str = "static.json";

/// Header fields of an answer that the server writes by itself.
const OWN_FIELDS: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

/// The rules of a site.
#[derive(Debug, Default)]
pub struct StaticRules {
    /// `/about` is answered by `about.html`.
    pub clean_urls: bool,
    /// Clients of plain HTTP are sent to HTTPS, where the edge says that they came by it.
    pub https_only: bool,
    pub canonical_host: Option<String>,
    /// The file that answers where there is none, with status 404.
    pub error_page: Option<String>,
    /// Files for paths that name none, the most special pattern first.
    pub routes: Vec<(Glob, String)>,
    pub redirects: Vec<Redirect>,
    /// Header fields, the most special pattern last.
    headers: Vec<HeaderRule>,
}

/// Header fields by their names, for the paths of a pattern.
type HeaderRule = (Glob, BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// The pack hands the folder over.
    #[serde(rename = "root")]
    _root: Option<String>,
    #[serde(default)]
    clean_urls: bool,
    #[serde(default)]
    https_only: bool,
    canonical_host: Option<String>,
    error_page: Option<String>,
    #[serde(default)]
    routes: BTreeMap<String, String>,
    #[serde(default)]
    redirects: BTreeMap<String, RedirectRule>,
    #[serde(default)]
    headers: BTreeMap<String, BTreeMap<String, String>>,
    /// Text files are UTF-8, and the edge writes the log of requests.
    #[serde(rename = "encoding")]
    _encoding: Option<String>,
    #[serde(rename = "logging")]
    _logging: Option<serde::de::IgnoredAny>,
    #[serde(rename = "debug")]
    _debug: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedirectRule {
    url: String,
    status: Option<u16>,
}

impl StaticRules {
    /// Parses the file; `variable` looks up `${NAME}` of a redirect.
    ///
    /// # Errors
    ///
    /// What cannot be obeyed, by its name.
    pub fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, SlugError> {
        let document: Document = serde_json::from_str(text).map_err(|error| {
            let reason = error.to_string();
            let known = if reason.starts_with("unknown field `proxies`")
                || reason.starts_with("unknown field `basic_auth`")
            {
                ". Proxies and passwords are not served here: use an app with a server of its own"
            } else {
                ""
            };
            invalid(&format!("{reason}{known}"))
        })?;
        if document.redirects.len() + document.routes.len() + document.headers.len() > RULES_MAX {
            return Err(invalid(&format!("it has more than {RULES_MAX} rules")));
        }
        let redirects = document.redirects.iter().map(|(from, rule)| {
            let named = |reason: String| invalid(&format!("redirects.{from}: {reason}"));
            let to = expand(&rule.url, &variable).map_err(named)?;
            Redirect::new(from, &to, rule.status.unwrap_or(301), true).map_err(named)
        });
        let mut routes: Vec<_> =
            document.routes.into_iter().map(|(pattern, file)| (Glob::new(&pattern), file)).collect();
        routes.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.literal_prefix()));
        Ok(Self {
            clean_urls: document.clean_urls,
            https_only: document.https_only,
            canonical_host: document.canonical_host,
            error_page: document.error_page,
            redirects: redirects.collect::<Result<_, _>>()?,
            routes,
            headers: headers(document.headers)?,
        })
    }

    /// Header fields for a path, by their names in lower case.
    pub fn fields(&self, path: &str) -> BTreeMap<String, (&str, &str)> {
        let matching = self.headers.iter().filter(|(pattern, _)| pattern.matches(path));
        let fields = matching.flat_map(|(_, fields)| fields.iter());
        fields.map(|(name, value)| (name.to_ascii_lowercase(), (name.as_str(), value.as_str()))).collect()
    }
}

fn headers(given: BTreeMap<String, BTreeMap<String, String>>) -> Result<Vec<HeaderRule>, SlugError> {
    for (pattern, fields) in &given {
        for (name, value) in fields {
            let is_token = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!~".contains(&byte));
            if !is_token || OWN_FIELDS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(invalid(&format!(
                    "headers.{pattern}: `{name}` is no header field that can be set"
                )));
            }
            if value.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
                return Err(invalid(&format!(
                    "headers.{pattern}.{name}: its value has line breaks or control characters"
                )));
            }
        }
    }
    let mut headers: Vec<_> =
        given.into_iter().map(|(pattern, fields)| (Glob::new(&pattern), fields)).collect();
    headers.sort_by_key(|(pattern, _)| pattern.literal_prefix());
    Ok(headers)
}

fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("${") {
        let end = rest[at..].find('}').ok_or_else(|| format!("`{text}` has a `${{` without its `}}`"))?;
        let name = &rest[at + 2..at + end];
        let value = variable(name)
            .ok_or_else(|| format!("the config has no {name}: set it with `deis config:set {name}=...`"))?;
        out.push_str(&rest[..at]);
        out.push_str(&value);
        rest = &rest[at + end + 1..];
    }
    Ok(out + rest)
}

fn invalid(reason: &str) -> SlugError {
    SlugError::data(format!("{FILE}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StaticRules, SlugError> {
        StaticRules::parse(text, |name| (name == "BASE").then(|| "https://b.example".to_owned()))
    }

    #[test]
    fn the_most_special_pattern_wins() {
        let rules = parse(
            r#"{"root": "dist", "routes": {"/**": "index.html", "/docs/**": "docs.html"},
                "headers": {"/**": {"Cache-Control": "no-cache", "X-One": "1"}, "/docs/**": {"cache-control": "max-age=1"}}}"#,
        )
        .expect("well-formed");

        let route = rules.routes.iter().find(|(pattern, _)| pattern.matches("/docs/a")).map(|(_, file)| file);
        assert_eq!(route.map(String::as_str), Some("docs.html"));
        let fields = rules.fields("/docs/a");
        assert_eq!((fields["cache-control"].1, fields["x-one"].1), ("max-age=1", "1"));
        assert_eq!(rules.fields("/a")["cache-control"].1, "no-cache");
    }

    #[test]
    fn variables_of_redirects_are_filled_in() {
        let rules =
            parse(r#"{"redirects": {"/old/": {"url": "${BASE}/new", "status": 302}}}"#).expect("well-formed");

        let target = rules.redirects[0].target("/old", str::to_owned);
        assert_eq!(target.as_deref(), Some("https://b.example/new"));
    }

    #[test]
    fn rules_that_cannot_be_obeyed_are_refused_by_name() {
        for (text, reason) in [
            ("[1", "static.json: "),
            (r#"{"clean_url": true}"#, "unknown field `clean_url`"),
            (r#"{"proxies": {}}"#, "Proxies and passwords are not served here"),
            (r#"{"clean_urls": "yes"}"#, "invalid type"),
            (r#"{"redirects": {"/a": {"url": "${NONE}"}}}"#, "redirects./a: the config has no NONE"),
            (r#"{"redirects": {"/a": {"url": "/b", "status": 200.5}}}"#, "invalid type"),
            (r#"{"redirects": {"a": {"url": "/b"}}}"#, "redirects.a: `a` is not a path"),
            (
                r#"{"headers": {"/**": {"Content-Length": "1"}}}"#,
                "`Content-Length` is no header field that can be set",
            ),
            (
                "{\"headers\": {\"/**\": {\"X-A\": \"a\\r\\nB: c\"}}}",
                "headers./**.X-A: its value has line breaks",
            ),
        ] {
            let failure = parse(text).expect_err(text);
            assert!(failure.message.contains(reason), "{}", failure.message);
        }
    }
}
