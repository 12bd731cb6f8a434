//! `workflow keys`: changing the key that seals config values, private keys and the engine's copies.
//!
//! A key is added before the others, so that it seals and the others still open; then all is sealed anew, a batch
//! at a time; then the others can go. Each step leaves a platform that works, so that a death at any moment is
//! mended by giving the same command again.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use domain::sealing::SealingKeys;
use store::Store;

use crate::data_dir::DataDir;
use crate::process;
use crate::settings::{DatabaseFlags, check_database_url, default_data_dir, sealing_keys_in};
use crate::up::{self, ENGINE_FOLDER};

/// Change the key that seals secrets at rest.
#[derive(Debug, clap::Args)]
pub struct Keys {
    #[command(subcommand)]
    what: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    Rotate(Rotate),
    Reseal(Reseal),
}

/// Give this machine's platform, which must be stopped, a new key, and seal all secrets anew.
///
/// Killed at any moment, it is gone on with by the same command; the platform can also be started in between.
#[derive(Debug, clap::Args)]
struct Rotate {
    /// Folder of the platform.
    #[arg(long, env = "WORKFLOW_DATA_DIR", default_value_os_t = default_data_dir())]
    data_dir: PathBuf,

    /// Database [default: SQLite in the data folder].
    #[arg(long, env = "WORKFLOW_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// Seal anew, with the first key of a file, what the others have sealed; controllers may be serving.
#[derive(Debug, clap::Args)]
struct Reseal {
    #[command(flatten)]
    database: DatabaseFlags,

    /// File with the keys, 64 hex digits a line: the first seals, all open.
    #[arg(long, env = "WORKFLOW_SEALING_KEY_FILE")]
    sealing_key_file: PathBuf,
}

impl Keys {
    pub fn check(&self) -> anyhow::Result<()> {
        match &self.what {
            KeyCommand::Rotate(Rotate { database_url: Some(url), .. }) => check_database_url(url),
            KeyCommand::Rotate(_) => Ok(()),
            KeyCommand::Reseal(reseal) => reseal.database.url().map(drop),
        }
    }

    pub fn run(&self) -> anyhow::Result<()> {
        match &self.what {
            KeyCommand::Rotate(rotate) => process::run(rotate.rotate()),
            KeyCommand::Reseal(reseal) => process::run(reseal.reseal()),
        }
    }
}

impl Rotate {
    async fn rotate(&self) -> anyhow::Result<()> {
        let data_dir = DataDir::open(&self.data_dir)?;
        let kept = data_dir.sealing_keys()?;
        // Several are left of a rotation that was broken off: it is gone on with.
        let keys = if kept.older_ids().next().is_none() { data_dir.add_sealing_key()? } else { kept };
        println!("key {} seals from now on", keys.newest_id());
        let url = up::database_url(self.database_url.as_deref(), &data_dir);
        reseal_database(&url, &keys).await?;
        let files = engine_docker::reseal_state(&data_dir.join(ENGINE_FOLDER), &keys)?;
        println!("sealed {files} files of the engine anew");
        data_dir.forget_older_sealing_keys()?;
        println!("the platform needs no other key; backups from before need theirs");
        Ok(())
    }
}

impl Reseal {
    async fn reseal(&self) -> anyhow::Result<()> {
        let keys = sealing_keys_in("--sealing-key-file", &self.sealing_key_file)?;
        println!("key {} seals", keys.newest_id());
        reseal_database(&self.database.url()?, &keys).await?;
        for id in keys.older_ids() {
            println!(
                "key {id} seals nothing any more and can go, once no controller is left that seals with it"
            );
        }
        Ok(())
    }
}

/// Seals all records anew; fails when some are left that no key opens.
async fn reseal_database(url: &str, keys: &SealingKeys) -> anyhow::Result<()> {
    let store = Store::open(url, keys.clone()).await.context("cannot open the database")?;
    let mut resealing = store.resealing();
    let mut told = 0;
    while resealing.step().await.context("cannot seal records anew; give the command again to go on")? {
        if resealing.done > told {
            told = resealing.done;
            println!("sealed {told} records anew");
        }
    }
    let left = store.sealed_with_older_keys().await?;
    store.close().await;
    match (resealing.unopened.first(), left) {
        (None, 0) => Ok(()),
        (None, left) => {
            bail!("{left} records were sealed with an older key meanwhile: give the command again")
        }
        (Some(first), left) => {
            bail!("{left} records are sealed with a key that is not at hand, such as {first}")
        }
    }
}
