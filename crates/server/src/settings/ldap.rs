//! Settings of the directory that knows users' passwords besides the platform (docs/spec/api.md 7).

use std::path::PathBuf;

use anyhow::Context as _;
use clap::ArgAction::Set;
use clap::builder::BoolishValueParser;
use controller::Secret;
use controller::directory::{Directory, DirectorySettings, TIMEOUT};

use super::given_or_in;

#[derive(Debug, Clone, clap::Args)]
pub struct LdapSettings {
    /// LDAP server that knows users' passwords: `ldaps://host[:port]` or `ldap://host[:port]` [default: none].
    #[arg(long, env = "LDAP_ENDPOINT", default_value = "", hide_default_value = true)]
    pub ldap_endpoint: String,

    /// Encrypt `ldap://` before the first request; otherwise passwords can be read on the way.
    #[arg(
        long,
        env = "LDAP_START_TLS",
        action = Set,
        value_parser = BoolishValueParser::new(),
        default_value = "true"
    )]
    pub ldap_start_tls: bool,

    /// PEM bundle of authorities for the LDAP server's certificate [default: the system's].
    #[arg(long, env = "LDAP_CA_BUNDLE")]
    pub ldap_ca_bundle: Option<PathBuf>,

    /// DN as which users are looked for [default: without a name].
    #[arg(long, env = "LDAP_BIND_DN", default_value = "", hide_default_value = true)]
    pub ldap_bind_dn: String,

    /// Password of --ldap-bind-dn.
    #[arg(long, env = "LDAP_BIND_PASSWORD", hide_env_values = true)]
    pub ldap_bind_password: Option<Secret>,

    /// File with the password of --ldap-bind-dn, instead of --ldap-bind-password.
    #[arg(long, env = "LDAP_BIND_PASSWORD_FILE")]
    pub ldap_bind_password_file: Option<PathBuf>,

    /// Entry that users are below, such as `ou=people,dc=example,dc=com`.
    #[arg(long, env = "LDAP_USER_BASEDN", default_value = "", hide_default_value = true)]
    pub ldap_user_base_dn: String,

    /// Attribute with the username, such as `uid` or `sAMAccountName`.
    #[arg(long, env = "LDAP_USER_FILTER", default_value = "username")]
    pub ldap_user_attribute: String,
}

impl LdapSettings {
    /// The directory, where there is one.
    pub fn directory(&self) -> anyhow::Result<Option<Directory>> {
        let endpoint = self.ldap_endpoint.trim();
        if endpoint.is_empty() {
            return Ok(None);
        }
        let bundle = self.ldap_ca_bundle.as_ref().filter(|path| !path.as_os_str().is_empty());
        let ca_bundle = bundle
            .map(|path| std::fs::read(path).with_context(|| format!("--ldap-ca-bundle {}", path.display())));
        let password = self.bind_password()?;
        let searcher = Some(self.ldap_bind_dn.trim()).filter(|dn| !dn.is_empty());
        let directory = Directory::new(DirectorySettings {
            endpoint: endpoint.to_owned(),
            start_tls: self.ldap_start_tls,
            ca_bundle: ca_bundle.transpose()?,
            searcher: searcher.map(|dn| (dn.to_owned(), password)),
            users_below: self.ldap_user_base_dn.trim().to_owned(),
            name_attribute: self.ldap_user_attribute.trim().to_owned(),
            timeout: TIMEOUT,
        });
        directory.map(Some).context("LDAP")
    }

    fn bind_password(&self) -> anyhow::Result<Secret> {
        let file = self.ldap_bind_password_file.as_deref();
        let given = self.ldap_bind_password.clone();
        match given_or_in("--ldap-bind-password", given.as_ref().map(|_| ""), file)? {
            Some(read) if given.is_none() => Ok(Secret::new(read)),
            _ => Ok(given.unwrap_or_else(|| Secret::new(""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        settings: LdapSettings,
    }

    fn directory(arguments: &[&str]) -> Result<Option<Directory>, String> {
        let only = Only::try_parse_from([&["up"], arguments].concat()).map_err(|error| error.to_string())?;
        only.settings.directory().map_err(|error| format!("{error:#}"))
    }

    const ENDPOINT: &str = "--ldap-endpoint=ldaps://ldap.example.com";
    const BASE: &str = "--ldap-user-base-dn=dc=example,dc=com";

    #[test]
    fn without_an_endpoint_there_is_no_directory() {
        assert!(directory(&[]).expect("good defaults").is_none());
        assert!(directory(&[BASE, "--ldap-user-attribute=(bad"]).expect("nothing to check").is_none());
        assert!(directory(&[ENDPOINT, BASE]).expect("good settings").is_some());
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let missing = "--ldap-ca-bundle=/does/not/exist";
        let this = concat!("--ldap-ca-bundle=", env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (arguments, named) in [
            (vec!["--ldap-endpoint=ldap.example.com", BASE], "endpoint"),
            (vec!["--ldap-endpoint=ldaps:///", BASE], "endpoint"),
            (vec!["--ldap-endpoint=ldaps://:636", BASE], "endpoint"),
            (vec!["--ldap-endpoint=ldaps://a/dc=x?uid", BASE], "endpoint"),
            (vec!["--ldap-endpoint=http://a", BASE], "endpoint"),
            (vec![ENDPOINT], "base DN"),
            (vec![ENDPOINT, BASE, "--ldap-user-attribute=(uid"], "user attribute"),
            (vec![ENDPOINT, BASE, "--ldap-bind-dn=cn=me"], "bind password"),
            (vec![ENDPOINT, BASE, "--ldap-bind-dn=cn=me", "--ldap-bind-password="], "bind password"),
            (vec![ENDPOINT, BASE, missing], "--ldap-ca-bundle"),
            (vec![ENDPOINT, BASE, this], "CA bundle"),
        ] {
            let error = directory(&arguments).expect_err(named);
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }
}
