//! The engine's files: one sealed file for each app.
//!
//! A file is replaced as a whole and in order (written, flushed, renamed, folder flushed), so that a death
//! at any moment leaves the old or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use domain::crashes::Crashes;
use domain::routing::AppRouting;
use domain::sealing::{NONCE_BYTES, SealingError, SealingKeys};
use domain::{AppName, ProcessType};
use serde::{Deserialize, Serialize};

use engine::rollout::desired_state::DesiredState;
use engine::{EngineError, private_file};

/// Desired state of one app.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AppDesiredState {
    pub workloads: BTreeMap<ProcessType, DesiredState>,
    pub routing: Option<AppRouting>,
    /// Keys of the replicas that were ready, so that the next process trusts them at once.
    pub ready: BTreeSet<String>,
    /// Crashes by container, so that the next process shows them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub crashes: BTreeMap<String, Crashes>,
    /// The app is to be removed with all that belongs to it.
    pub is_removed: bool,
}

/// The folder of the state files.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
    keys: SealingKeys,
}

/// Seals anew what an older key has sealed, while no engine runs on the folder; says how many files those were.
pub fn reseal(state_dir: &Path, keys: &SealingKeys) -> Result<usize, EngineError> {
    let folder = StateFolder::open(state_dir, keys.clone())?;
    let mut resealed = 0;
    for app in folder.apps()? {
        resealed += usize::from(folder.reseal(&app)?);
    }
    Ok(resealed)
}

impl StateFolder {
    /// Opens the folder, which is made if it is missing.
    pub fn open(state_dir: &Path, keys: impl Into<SealingKeys>) -> Result<Self, EngineError> {
        let path = state_dir.join("apps");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| refused(&format!("make folder {}", path.display()), &error))?;
        Ok(Self { path, keys: keys.into() })
    }

    /// All apps that are wanted. A file that is damaged is left out, so that one app does not hold up the
    /// others; another key is refused, because then it is the platform that is set up wrongly.
    pub fn load(&self) -> Result<Vec<(AppName, AppDesiredState)>, EngineError> {
        let mut desired_states = Vec::new();
        for app in self.apps()? {
            if let Some(desired) = self.read(&app)? {
                desired_states.push((app, desired));
            }
        }
        Ok(desired_states)
    }

    fn apps(&self) -> Result<Vec<AppName>, EngineError> {
        let what = format!("read folder {}", self.path.display());
        let entries = fs::read_dir(&self.path).map_err(|error| refused(&what, &error))?;
        let mut apps = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| refused(&what, &error))?.file_name();
            let app = name.to_str().and_then(|name| name.strip_suffix(".json"));
            apps.extend(app.and_then(|app| AppName::parse(app).ok()));
        }
        Ok(apps)
    }

    /// Seals the file again if it needs that, and returns true if it did. A damaged one stays as it is.
    fn reseal(&self, app: &AppName) -> Result<bool, EngineError> {
        let path = self.file(app);
        let what = format!("seal {} anew", path.display());
        let sealed = fs::read_to_string(&path).map_err(|error| refused(&what, &error))?;
        match self.keys.reseal(&context(app), sealed.trim_end(), rand::random::<[u8; NONCE_BYTES]>()) {
            Ok(None) => Ok(false),
            Ok(Some(resealed)) => {
                private_file::replace(&path, resealed.as_bytes()).map_err(|error| refused(&what, &error))?;
                Ok(true)
            }
            Err(error @ SealingError::OtherKey { .. }) => {
                Err(EngineError::Refused { what, reason: format!("{error}; bring that key back") })
            }
            Err(error) => {
                tracing::error!(%app, %error, file = %path.display(), "left a damaged file as it is");
                Ok(false)
            }
        }
    }

    fn read(&self, app: &AppName) -> Result<Option<AppDesiredState>, EngineError> {
        let path = self.file(app);
        let what = format!("open {}", path.display());
        let sealed = fs::read_to_string(&path).map_err(|error| refused(&what, &error))?;
        let plain = match self.keys.open(&context(app), sealed.trim_end()) {
            Ok(plain) => plain,
            Err(error @ SealingError::OtherKey { .. }) => {
                let reason = format!("{error}; bring the old key back, or remove the file to forget the app");
                return Err(EngineError::Refused { what, reason });
            }
            Err(error) => {
                tracing::error!(%app, %error, file = %path.display(), "left out an app: deploy it again");
                return Ok(None);
            }
        };
        let desired = serde_json::from_slice(&plain);
        Ok(desired
            .inspect_err(|error| tracing::error!(%app, %error, "left out an app: deploy it again"))
            .ok())
    }

    /// Replaces the app's file; when this returns, the desired state survives everything but the disk.
    pub fn save(&self, app: &AppName, desired: &AppDesiredState) -> Result<(), EngineError> {
        let json =
            serde_json::to_vec(desired).expect("a desired state has only text keys, so it is valid JSON");
        let sealed = self.keys.seal(&context(app), &json, rand::random::<[u8; NONCE_BYTES]>());
        let replaced = private_file::replace(&self.file(app), sealed.as_bytes());
        replaced.map_err(|error| refused(&format!("record the desired state for {app}"), &error))
    }

    /// Forgets the app.
    pub fn delete(&self, app: &AppName) -> Result<(), EngineError> {
        let removed = match fs::remove_file(self.file(app)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => private_file::flush_folder(&self.file(app)),
        };
        removed.map_err(|error| refused(&format!("forget {app}"), &error))
    }

    fn file(&self, app: &AppName) -> PathBuf {
        self.path.join(format!("{app}.json"))
    }
}

fn context(app: &AppName) -> String {
    format!("docker engine {app}")
}

fn refused(what: &str, error: &io::Error) -> EngineError {
    let reason = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full; free some space and try again".to_owned()
        }
        _ => error.to_string(),
    };
    EngineError::Refused { what: what.to_owned(), reason }
}

#[cfg(test)]
#[path = "../../store/tests/disk/mod.rs"]
mod disk;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use domain::sealing::SealingKey;

    use super::*;

    fn app() -> AppName {
        AppName::parse("blog").expect("a good name")
    }

    fn desired() -> AppDesiredState {
        AppDesiredState { ready: BTreeSet::from(["container".to_owned()]), ..AppDesiredState::default() }
    }

    #[test]
    fn a_desired_state_is_read_back_by_the_next_process_and_readable_by_none_but_the_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SealingKey::new(&[7; 32]);
        StateFolder::open(folder.path(), key.clone())
            .and_then(|f| f.save(&app(), &desired()))
            .expect("saved");

        let found = StateFolder::open(folder.path(), key).and_then(|f| f.load()).expect("loaded");

        assert_eq!(found, [(app(), desired())]);
        let file = folder.path().join("apps/blog.json");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(file).expect("text").contains("container"));
    }

    #[test]
    fn files_are_sealed_anew_and_then_need_the_newest_key_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = StateFolder::open(folder.path(), SealingKey::new(&[7; 32])).expect("opened");
        ours.save(&app(), &desired()).expect("saved");
        let both = format!("{}\n{}", "08".repeat(32), "07".repeat(32));
        let both = SealingKeys::parse(&both).expect("two keys");

        let resealed = [reseal(folder.path(), &both), reseal(folder.path(), &both)];

        assert_eq!(resealed.map(|resealed| resealed.expect("resealed")), [1, 0]);
        let newest = StateFolder::open(folder.path(), SealingKey::new(&[8; 32])).expect("opened");
        assert_eq!(newest.load().expect("loaded"), [(app(), desired())]);
        assert!(reseal(folder.path(), &SealingKey::new(&[7; 32]).into()).is_err());
    }

    #[test]
    fn a_desired_state_that_finds_a_full_disk_leaves_the_old_one_and_is_recorded_once_there_is_room() {
        let Some(disk) = super::disk::SmallDisk::new(1 << 10) else { return };
        let folder = StateFolder::open(disk.path(), SealingKey::new(&[7; 32])).expect("opened");
        folder.save(&app(), &desired()).expect("saved");
        let ready = (0..1_000).map(|number| format!("container-{number}")).collect();
        let larger = AppDesiredState { ready, ..AppDesiredState::default() };

        for left_kib in [0, 4, 8, 12] {
            disk.fill(left_kib << 10);
            let refused = folder.save(&app(), &larger).expect_err("there is no room").to_string();
            assert!(refused.contains("the disk is full; free some space"), "{refused}");
            assert_eq!(folder.load().expect("loaded"), [(app(), desired())]);
            disk.free();
        }

        folder.save(&app(), &larger).expect("there is room");
        assert_eq!(folder.load().expect("loaded"), [(app(), larger)]);
    }

    #[test]
    fn another_key_is_refused_and_a_damaged_file_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = StateFolder::open(folder.path(), SealingKey::new(&[7; 32])).expect("opened");
        ours.save(&app(), &desired()).expect("saved");
        let others = StateFolder::open(folder.path(), SealingKey::new(&[8; 32])).expect("opened");

        let refused = others.load().expect_err("another key").to_string();
        fs::write(folder.path().join("apps/blog.json"), "torn").expect("written");

        assert!(refused.contains("bring the old key back"), "{refused}");
        assert_eq!(ours.load().expect("loaded"), []);
    }
}
