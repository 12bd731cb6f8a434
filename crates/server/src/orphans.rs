//! `workflow orphans`: namespaces of apps that the database does not know.
//!
//! A platform whose database was lost leaves its apps running. A new one does not touch them, since a namespace
//! may hold a user's work; it warns the operator.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use domain::AppName;
use engine_kubernetes::{AppNamespace, KubernetesSettings};
use store::Store;

use crate::process;
use crate::settings::{DatabaseFlags, Namespaces, sealing_keys_in};

/// Namespaces that a line of the log names; the command lists all.
const NAMED_MAX: usize = 20;

/// List the namespaces of apps that the database does not know.
#[derive(Debug, Clone, clap::Args)]
pub struct OrphanCommand {
    #[command(flatten)]
    database: DatabaseFlags,

    /// File with the keys that seal config values in the database.
    #[arg(long, env = "WORKFLOW_SEALING_KEY_FILE")]
    sealing_key_file: PathBuf,

    #[command(flatten)]
    namespaces: Namespaces,
}

impl OrphanCommand {
    pub fn check(&self) -> anyhow::Result<()> {
        self.database.url()?;
        sealing_keys_in("--sealing-key-file", &self.sealing_key_file).map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        process::run(async {
            let keys = sealing_keys_in("--sealing-key-file", &self.sealing_key_file)?;
            let store = Store::open(&self.database.url()?, keys).await.context("cannot open the database")?;
            let settings = KubernetesSettings {
                namespace_prefix: self.namespaces.namespace_prefix.clone(),
                platform_namespace: self.namespaces.platform_namespace.clone(),
                ..KubernetesSettings::new(String::new())
            };
            for AppNamespace { app, namespace } in list(&store, settings).await? {
                println!("{namespace} (app {app}); to remove it: kubectl delete namespace {namespace}");
            }
            Ok(())
        })
    }
}

/// The orphans that there are now.
async fn list(store: &Store, settings: KubernetesSettings) -> anyhow::Result<Vec<AppNamespace>> {
    // Listed first: an app that is made meanwhile is in the database before it has a namespace.
    let found = engine_kubernetes::app_namespaces(engine_kubernetes::connect().await?, settings).await?;
    let known = store.app_names().await.context("cannot list the apps")?;
    Ok(among(found, &known.into_iter().collect()))
}

fn among(mut found: Vec<AppNamespace>, known: &BTreeSet<AppName>) -> Vec<AppNamespace> {
    found.retain(|space| !known.contains(&space.app));
    found.sort_by(|one, other| one.app.cmp(&other.app));
    found
}

/// Warns the operator of orphans, once, when a controller starts.
pub async fn warn(store: Store, settings: KubernetesSettings) {
    match list(&store, settings).await {
        Ok(orphans) if orphans.is_empty() => {}
        Ok(orphans) => {
            let names: Vec<_> =
                orphans.iter().take(NAMED_MAX).map(|space| space.namespace.as_str()).collect();
            tracing::warn!(
                count = orphans.len(),
                namespaces = names.join(", "),
                "namespaces of apps are not in the database and run on unmanaged; `workflow orphans` lists them"
            );
        }
        Err(error) => tracing::warn!(error = &*error as &dyn std::error::Error, "cannot look for orphans"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_apps_that_the_database_lacks_are_orphans() {
        let app = |name: &str| AppName::parse(name).expect("a good name");
        let space = |name: &str| AppNamespace { app: app(name), namespace: format!("t-{name}") };

        let orphans = among(vec![space("shop"), space("blog"), space("wiki")], &[app("blog")].into());

        assert_eq!(orphans, [space("shop"), space("wiki")]);
    }
}
