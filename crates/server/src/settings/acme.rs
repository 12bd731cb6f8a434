//! Automatic certificates from an ACME certificate authority. Off until the operator names an address for its
//! notices and has agreed to its terms.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::ArgAction::Set;
use clap::builder::BoolishValueParser;
use controller::AcmeSettings;
use domain::auto_certs::ChallengeKind;

#[derive(Debug, Clone, clap::Args)]
pub struct AcmeArguments {
    /// Lets apps get certificates by themselves (`deis certs:auto on`): e-mail address of our account at the
    /// certificate authority.
    #[arg(long, env = "WORKFLOW_ACME_EMAIL")]
    pub acme_email: Option<String>,

    /// Confirms that you have read the terms of the certificate authority and agree to them.
    #[arg(
        long,
        env = "WORKFLOW_ACME_TERMS_AGREED",
        action = Set,
        value_parser = BoolishValueParser::new(),
        num_args = 0..=1,
        default_value = "false",
        default_missing_value = "true"
    )]
    pub acme_terms_agreed: bool,

    /// Directory of the certificate authority.
    #[arg(
        long,
        env = "WORKFLOW_ACME_DIRECTORY",
        default_value = "https://acme-v02.api.letsencrypt.org/directory"
    )]
    pub acme_directory: String,

    /// PEM bundle of whom to trust when the certificate authority is asked [default: what the system trusts].
    #[arg(long, env = "WORKFLOW_ACME_CA_BUNDLE")]
    pub acme_ca_bundle: Option<PathBuf>,

    /// Challenges for domains, taken in turn: `http-01` at port 80, `tls-alpn-01` at port 443.
    #[arg(
        long,
        env = "WORKFLOW_ACME_CHALLENGES",
        value_delimiter = ',',
        default_value = "http-01,tls-alpn-01"
    )]
    pub acme_challenges: Vec<ChallengeKind>,
}

impl AcmeArguments {
    pub fn check(&self) -> anyhow::Result<()> {
        self.settings().map(drop)
    }

    /// Settings for the controller; `None` without automatic certificates.
    pub fn settings(&self) -> anyhow::Result<Option<AcmeSettings>> {
        let Self { acme_email, acme_terms_agreed, acme_directory, acme_ca_bundle, acme_challenges } = self;
        let Some(email) = acme_email.as_deref().map(str::trim).filter(|email| !email.is_empty()) else {
            return Ok(None);
        };
        let is_address =
            email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        let is_plain = email.bytes().all(|byte| byte.is_ascii_graphic() && !b",?&".contains(&byte));
        ensure!(
            is_address && is_plain,
            "--acme-email `{email}`: expected an address such as you@example.com"
        );
        ensure!(
            *acme_terms_agreed,
            "--acme-email needs --acme-terms-agreed: read the terms of {acme_directory} first"
        );
        let directory = acme_directory.trim();
        ensure!(directory.starts_with("https://"), "--acme-directory `{directory}`: expected https://…");
        ensure!(!acme_challenges.is_empty(), "--acme-challenges: expected http-01, tls-alpn-01 or both");
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).with_context(|| format!("--acme-ca-bundle {}", path.display()))
        };
        let bundle = acme_ca_bundle.as_ref().filter(|path| !path.as_os_str().is_empty());
        let ca_bundle = bundle.map(read).transpose()?;
        let is_pem = ca_bundle.as_ref().is_none_or(|text| text.contains("-----BEGIN CERTIFICATE-----"));
        ensure!(is_pem, "--acme-ca-bundle: there is no certificate in PEM in it");
        let challenges = acme_challenges.clone();
        Ok(Some(AcmeSettings { ca_bundle, challenges, ..AcmeSettings::new(directory, email) }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        acme: AcmeArguments,
    }

    fn settings(arguments: &[&str]) -> Result<Option<AcmeSettings>, String> {
        let only = Only::try_parse_from([&["x"], arguments].concat()).map_err(|error| error.to_string())?;
        only.acme.settings().map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_asked_of_an_authority_until_there_is_an_address_for_it() {
        assert!(settings(&[]).expect("good").is_none());
        assert!(settings(&["--acme-email", ""]).expect("good").is_none());

        let given =
            settings(&["--acme-email=a@b.com", "--acme-terms-agreed", "--acme-challenges=tls-alpn-01"]);

        let given = given.expect("good").expect("asked for");
        assert_eq!(
            (given.email.as_str(), &given.challenges[..]),
            ("a@b.com", &[ChallengeKind::TlsAlpn01][..])
        );
        assert!(given.directory.starts_with("https://acme-v02.api.letsencrypt.org/"));
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_name_of_its_flag() {
        let good = ["--acme-email=a@b.com", "--acme-terms-agreed=true"];
        for (arguments, named) in [
            (vec!["--acme-email=a@b.com"], "--acme-terms-agreed"),
            (vec!["--acme-email=me", "--acme-terms-agreed"], "--acme-email"),
            ([&good[..], &["--acme-directory=http://x"]].concat(), "--acme-directory"),
            ([&good[..], &["--acme-challenges=dns-01"]].concat(), "not offered"),
            ([&good[..], &["--acme-ca-bundle=/does/not/exist"]].concat(), "--acme-ca-bundle"),
            ([&good[..], &["--acme-ca-bundle=/dev/null"]].concat(), "--acme-ca-bundle"),
        ] {
            let error = settings(&arguments).expect_err(named);
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }
}
