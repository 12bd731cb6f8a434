//! `cargo xtask fuzz api`: the whole API of a real platform, as an administrator.
//!
//! Three rounds: about objects that exist, so that handlers see rows; about objects that earlier requests have made,
//! up to their removal; and operations that end the caller's own rights, which the other rounds leave out.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::schemathesis::{self, Round};
use crate::binaries::{self, Binaries, Profile};
use crate::platform::{Platform, password};
use crate::{daemon, packages, progress};

/// The app, the certificate and the SSH key that the first round is about.
const SEEDED: &str = "seeded";
/// Operations that would remove what the first round tests, or have its changes refused.
const REMOVALS: &[&str] = &["delete_apps_app", "delete_certs_name", "delete_keys_id", "post_apps_app_lock"];
/// Operations that request images of random names from registries, whose responses do not depend on the API.
const REACHES_OUT: &[&str] = &["post_apps_app_builds"];
/// Operations that respond for as long as the client listens.
const ENDLESS: &[&str] = &["get_apps_app_logs_follow"];
/// Operations that would end the caller's rights.
const SELF_HARM: &[&str] = &[
    "post_auth_tokens",
    "post_auth_passwd",
    "delete_auth_cancel",
    "delete_auth_tokens",
    "delete_admin_perms_username",
];

/// Test the API against its own description, with schemathesis.
#[derive(Debug, clap::Args)]
pub struct FuzzApi {
    /// Minutes of all rounds together.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Seed; the same number makes the same requests.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl FuzzApi {
    pub fn of_minutes(minutes: u64) -> Self {
        Self { minutes, seed: 1 }
    }

    pub fn run(&self) -> anyhow::Result<()> {
        packages::ensure(&[packages::DOCKER])?;
        daemon::ensure_running()?;
        self.run_with(&binaries::build(Profile::Debug)?)
    }

    pub fn run_with(&self, binaries: &Binaries) -> anyhow::Result<()> {
        packages::ensure(&[packages::SSH_KEYGEN])?;
        let installed = schemathesis::install()?;
        let platform = Platform::named("fuzz", 18_100, 12_322);
        platform.wipe()?;
        platform.ensure_running(binaries)?;
        let world = World { platform: &platform, binaries, installed };
        let ended = self.rounds(&world);
        // The platform is removed also when a round failed.
        let log = std::fs::read_to_string(platform.log()).unwrap_or_default();
        platform.wipe()?;
        if ended.is_err() {
            let failures = log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked"));
            failures.take(20).for_each(|line| println!("platform: {line}"));
        }
        ended
    }

    fn rounds(&self, world: &World<'_>) -> anyhow::Result<()> {
        world.seed()?;
        let seconds = (self.minutes * 60).saturating_sub(10).max(10) / 2;
        let names = ["path.app", "path.id", "path.name", "path.username"];
        let seeded: String = names.map(|name| format!("\"{name}\" = \"{SEEDED}\"\n")).concat();
        let about = format!("[parameters]\n{seeded}\"path.version\" = \"v1\"\n");
        let kept = filter("--exclude-operation-id", &[REMOVALS, SELF_HARM, REACHES_OUT, ENDLESS].concat());
        let harmless = filter("--exclude-operation-id", &[SELF_HARM, REACHES_OUT, ENDLESS].concat());
        let harm = [&filter("--include-operation-id", SELF_HARM)[..], &["--phases", "coverage,fuzzing"]];
        let rounds = [
            ("what exists", "admin", about.as_str(), seconds, kept),
            ("what comes and goes", "admin", "", seconds, harmless),
            ("what takes rights away", SEEDED, "", 10, harm.concat()),
        ];
        let mut found = Vec::new();
        for (name, user, config, seconds, arguments) in rounds {
            println!("==> Fuzz {name}");
            let config = world.config(user, config)?;
            let port = world.platform.http_port;
            let round = Round { seconds, seed: self.seed, config, port, arguments: &arguments };
            if let Err(error) = progress::run(&mut round.command(&world.installed)) {
                found.push(format!("{name}: {error:#}"));
            }
            if user == "admin" {
                // Without rights, the round would have tested only refusals.
                world.deis(user, &["users:list"]).context("the administrator lost rights in between")?;
            }
        }
        if !found.is_empty() {
            bail!("the API does not keep its word; see above\n{}", found.join("\n"));
        }
        Ok(())
    }
}

/// The option once for each operation.
fn filter<'a>(option: &'a str, operations: &[&'a str]) -> Vec<&'a str> {
    operations.iter().flat_map(|operation| [option, *operation]).collect()
}

struct World<'a> {
    platform: &'a Platform,
    binaries: &'a Binaries,
    installed: PathBuf,
}

impl World<'_> {
    /// Makes two administrators, and for the first one an object of each kind.
    fn seed(&self) -> anyhow::Result<()> {
        self.sign_up("admin")?;
        self.sign_up(SEEDED)?;
        self.deis("admin", &["perms:create", SEEDED, "--admin"])?;
        self.deis("admin", &["create", SEEDED, "--no-remote"])?;
        self.deis("admin", &["domains:add", "www.example.org", "--app", SEEDED])?;
        let key = self.platform.path(SEEDED);
        let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", SEEDED, "-f"];
        progress::output(Command::new("ssh-keygen").args(keygen).arg(&key))?;
        self.deis("admin", &["keys:add", SEEDED, &key.with_extension("pub").display().to_string()])?;
        let (cert, key) = (self.platform.path("cert.pem"), self.platform.path("key.pem"));
        let made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()])?;
        std::fs::write(&cert, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let files = [cert.display().to_string(), key.display().to_string()];
        self.deis("admin", &["certs:add", SEEDED, &files[0], &files[1]]).map(drop)
    }

    /// Registers a user with a separate profile; the first one is an administrator.
    fn sign_up(&self, user: &str) -> anyhow::Result<()> {
        let secret = format!("--password={}", password(self.platform)?);
        let name = format!("--username={user}");
        let email = format!("--email={user}@example.com");
        let registered =
            self.deis("admin", &["register", &self.platform.url(), &name, &secret, &email, "--login=false"]);
        registered?;
        self.deis(user, &["login", &self.platform.url(), &name, &secret]).map(drop)
    }

    fn deis(&self, user: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut deis = Command::new(&self.binaries.deis);
        deis.env("DEIS_PROFILE", self.profile(user)).current_dir(self.platform.path(""));
        progress::output(deis.args(arguments))
    }

    fn profile(&self, user: &str) -> PathBuf {
        self.platform.path(&format!("{user}.json"))
    }

    /// Writes schemathesis's settings: the caller's credentials, and `more`.
    fn config(&self, user: &str, more: &str) -> anyhow::Result<PathBuf> {
        let profile: serde_json::Value = serde_json::from_slice(&std::fs::read(self.profile(user))?)?;
        let token = profile["token"].as_str().context("the profile has no token")?;
        let path = self.platform.path("schemathesis.toml");
        // The Host header, as this machine's resolver may not know names below localhost.
        let headers = format!("headers = {{ Host = \"deis.localhost:{}\" }}", self.platform.http_port);
        let auth = format!("[auth.openapi.token]\napi_key = \"token {token}\"");
        std::fs::write(&path, format!("{headers}\n[cache]\nenabled = false\n{more}\n{auth}\n"))?;
        Ok(path)
    }
}
