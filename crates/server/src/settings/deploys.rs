//! Settings of deploys: missing Procfiles, tags of new apps, and deploy hooks (docs/spec/api.md 7).

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use clap::ArgAction::Set;
use clap::builder::BoolishValueParser;
use controller::{ControllerSettings, Secret};
use domain::config::ConfigPatch;
use serde_json::{Map, json};

#[derive(Debug, Clone, clap::Args)]
pub struct DeployRules {
    /// Scale process types that a new Procfile no longer has to 0; otherwise a build without a Procfile takes over
    /// the last one.
    #[arg(
        long,
        env = "DEIS_DEPLOY_PROCFILE_MISSING_REMOVE",
        action = Set,
        value_parser = BoolishValueParser::new(),
        default_value = "true"
    )]
    pub procfile_missing_remove: bool,

    /// Refuse a build without a Procfile when the app had one.
    #[arg(
        long,
        env = "DEIS_DEPLOY_REJECT_IF_PROCFILE_MISSING",
        action = Set,
        value_parser = BoolishValueParser::new(),
        default_value = "false"
    )]
    pub reject_if_procfile_missing: bool,

    /// Tags of apps that have none of their own, as a JSON object such as `{"disk":"ssd"}`.
    #[arg(long, env = "DEIS_DEFAULT_CONFIG_TAGS", default_value = "")]
    pub default_tags: String,

    /// URLs that are called about each release; joined by commas.
    #[arg(long, env = "DEIS_DEPLOY_HOOK_URLS", value_delimiter = ',', hide_env_values = true)]
    pub deploy_hook_urls: Vec<String>,

    /// Signs these calls: HMAC-SHA1 of the whole URL, in the header Authorization.
    #[arg(long, env = "DEIS_DEPLOY_HOOK_SECRET_KEY", hide_env_values = true)]
    pub deploy_hook_secret_key: Option<Secret>,
}

impl DeployRules {
    /// Checks what clap cannot. A URL is not repeated: it may hold a secret.
    pub fn check(&self) -> anyhow::Result<()> {
        for url in self.urls() {
            let is_url = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
            ensure!(is_url, "--deploy-hook-urls: expected http://… or https://…, joined by commas");
        }
        self.tags().map(drop)
    }

    /// `settings` with these rules.
    pub fn applied_to(&self, settings: ControllerSettings) -> anyhow::Result<ControllerSettings> {
        Ok(ControllerSettings {
            procfile_missing_remove: self.procfile_missing_remove,
            reject_if_procfile_missing: self.reject_if_procfile_missing,
            default_tags: self.tags()?,
            deploy_hook_urls: self.urls().map(Secret::new).collect(),
            deploy_hook_secret: self.deploy_hook_secret_key.clone().filter(|key| !key.expose().is_empty()),
            ..settings
        })
    }

    fn urls(&self) -> impl Iterator<Item = &str> {
        self.deploy_hook_urls.iter().map(|url| url.trim()).filter(|url| !url.is_empty())
    }

    /// Tags by the same rule as those that users set.
    fn tags(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let text = self.default_tags.trim();
        if text.is_empty() {
            return Ok(BTreeMap::new());
        }
        let wrong =
            || format!("--default-tags `{text}`: expected a JSON object such as {{\"disk\":\"ssd\"}}");
        let tags: BTreeMap<String, String> = serde_json::from_str(text).with_context(wrong)?;
        let patch = Map::from_iter([("tags".to_owned(), json!(tags))]);
        ConfigPatch::parse(&patch).map_err(|error| anyhow::anyhow!("--default-tags `{text}`: {error}"))?;
        Ok(tags)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        rules: DeployRules,
    }

    fn settings(arguments: &[&str]) -> anyhow::Result<ControllerSettings> {
        let only = Only::try_parse_from([&["up"], arguments].concat())?;
        only.rules.check()?;
        only.rules.applied_to(ControllerSettings::new("localhost", Secret::new("key")))
    }

    #[test]
    fn the_rules_reach_the_controller() {
        let defaults = settings(&[]).expect("good defaults");
        assert!(defaults.procfile_missing_remove && !defaults.reject_if_procfile_missing);
        assert!(defaults.deploy_hook_urls.is_empty() && defaults.deploy_hook_secret.is_none());

        let given = settings(&[
            "--procfile-missing-remove=off",
            "--reject-if-procfile-missing=yes",
            r#"--default-tags={"disk":"ssd"}"#,
            "--deploy-hook-urls=http://a.com/x, https://b.com",
            "--deploy-hook-secret-key=planted",
        ]);
        let given = given.expect("good settings");

        assert!(!given.procfile_missing_remove && given.reject_if_procfile_missing);
        assert_eq!(given.default_tags, BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]));
        assert_eq!(given.deploy_hook_urls, ["http://a.com/x", "https://b.com"].map(Secret::new));
        assert!(!format!("{given:?}").contains("planted"));
    }

    #[test]
    fn a_wrong_rule_is_refused_with_the_name_of_its_flag() {
        for (argument, named) in [
            ("--default-tags=disk", "--default-tags"),
            (r#"--default-tags={"a b":"c"}"#, "--default-tags"),
            ("--deploy-hook-urls=ftp://user:planted@x", "--deploy-hook-urls"),
            ("--procfile-missing-remove=perhaps", "--procfile-missing-remove"),
        ] {
            let error = format!("{:#}", settings(&[argument]).expect_err(named));
            assert!(error.contains(named) && !error.contains("planted"), "{error}");
        }
    }
}
