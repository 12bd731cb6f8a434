//! Settings of the edge of one machine: HTTPS, the platform's certificate, the router's rules. In a cluster the
//! rules are annotations of the routers' Deployment, and the certificate is a Secret.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{anyhow, ensure};
use domain::AppName;
use domain::annotations::{AnnotationReader, Annotations};
use domain::edge::{AppRules, RouterRules, app_rules, router_rules};

/// An address and port, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionalListen(pub Option<SocketAddr>);

impl FromStr for OptionalListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| format!("`{text}`: expected an address and port such as 0.0.0.0:443, or none"))
    }
}

#[derive(Debug, Clone, clap::Args)]
pub struct EdgeArguments {
    /// Address and port of HTTPS; `none` leaves it out.
    #[arg(long, env = "WORKFLOW_HTTPS_LISTEN", default_value = "127.0.0.1:8443")]
    pub https_listen: OptionalListen,

    /// PEM file with the platform's certificate and its chain, best for `*.<domain>`; read again when it changes
    /// [default: one that is made at start and that nobody trusts].
    #[arg(long, env = "WORKFLOW_PLATFORM_CERT", requires = "platform_key")]
    pub platform_cert: Option<PathBuf>,

    /// PEM file with the key of the platform's certificate.
    #[arg(long, env = "WORKFLOW_PLATFORM_KEY", requires = "platform_cert")]
    pub platform_key: Option<PathBuf>,

    /// Address and port of the router's metrics, at `/metrics` in the format of Prometheus; `none` leaves them out.
    #[arg(long, env = "WORKFLOW_METRICS_LISTEN", default_value = "none")]
    pub metrics_listen: OptionalListen,

    /// A rule of the router, `key=value`; may be given several times. docs/router.md has the keys.
    #[arg(long = "router-setting", env = "WORKFLOW_ROUTER_SETTINGS", value_delimiter = ';')]
    pub router_settings: Vec<String>,

    /// A rule of the router for one app, `app:key=value`; may be given several times. docs/router.md has the keys.
    #[arg(long = "app-setting", env = "WORKFLOW_APP_SETTINGS", value_delimiter = ';')]
    pub app_settings: Vec<String>,
}

impl EdgeArguments {
    pub fn check(&self) -> anyhow::Result<()> {
        self.rules()?;
        self.app_rules().map(drop)
    }

    /// The router's rules. An invalid one is refused at start, where the operator sees it.
    pub fn rules(&self) -> anyhow::Result<RouterRules> {
        let mut texts = Annotations::new();
        for setting in &self.router_settings {
            let (key, value) = setting
                .split_once('=')
                .ok_or_else(|| anyhow!("--router-setting `{setting}`: expected key=value"))?;
            texts.insert(key.trim().to_owned(), value.to_owned());
        }
        let (rules, wrong) = router_rules(&texts, "");
        ensure!(wrong.is_empty(), "--router-setting: {}", wrong.join("; "));
        Ok(rules)
    }

    /// Settings of apps that differ from the router's, checked in the same way.
    pub fn app_rules(&self) -> anyhow::Result<BTreeMap<AppName, AppRules>> {
        let mut texts: BTreeMap<AppName, Annotations> = BTreeMap::new();
        for setting in &self.app_settings {
            let expected = || anyhow!("--app-setting `{setting}`: expected app:key=value");
            let (app, rest) = setting.split_once(':').ok_or_else(expected)?;
            let (key, value) = rest.split_once('=').ok_or_else(expected)?;
            let app = AppName::parse(app.trim()).map_err(|_| expected())?;
            let name = format!("{app}:{}", key.trim());
            texts.entry(app).or_default().insert(name, value.to_owned());
        }
        let read = texts.into_iter().map(|(app, texts)| {
            let prefix = format!("{app}:");
            let mut reader = AnnotationReader::new(&texts, &prefix);
            let rules = app_rules(&mut reader);
            reader.complain_of_others(&[]);
            let wrong = reader.into_wrong();
            ensure!(wrong.is_empty(), "--app-setting: {}", wrong.join("; "));
            Ok((app, rules))
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::edge::Protocol;

    use super::*;

    #[test]
    fn apps_have_rules_of_their_own() {
        let app_settings = ["blog:tcpTimeout=20m", " rpc: appProtocol =grpc", "blog:gzip.enabled=False"];
        let settings = EdgeArguments {
            https_listen: OptionalListen(None),
            platform_cert: None,
            platform_key: None,
            metrics_listen: OptionalListen(None),
            router_settings: Vec::new(),
            app_settings: app_settings.map(str::to_owned).into(),
        };

        let rules = settings.app_rules().expect("they are good");

        let of = |name| &rules[&AppName::parse(name).expect("a good name")];
        assert_eq!((of("blog").timeout, of("blog").gzip), (Some(Duration::from_secs(1_200)), Some(false)));
        assert_eq!(of("rpc").protocol, Some(Protocol::H2c));
    }
}
