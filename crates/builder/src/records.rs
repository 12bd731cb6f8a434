//! Notes about builds under way, so that one that was cut off by a crash is reported and not forgotten.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use domain::AppName;
use engine::Logs;
use serde::{Deserialize, Serialize};

use crate::BuilderError;
use crate::host_keys::make_private_folder;
use crate::pusher::write_log;

/// A folder with one file for each app that is being built.
pub(crate) struct Records {
    folder: PathBuf,
}

/// How far a push had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    Building,
    Releasing,
}

#[derive(Serialize, Deserialize)]
struct Record {
    app: AppName,
    sha: String,
    stage: Stage,
}

/// The note about one build; dropping it takes the note away.
pub(crate) struct Noted {
    path: PathBuf,
    app: AppName,
    sha: String,
}

impl Records {
    pub(crate) fn new(folder: PathBuf) -> Result<Self, BuilderError> {
        make_private_folder(&folder)?;
        Ok(Self { folder })
    }

    /// Notes that a build begins.
    pub(crate) fn begin(&self, app: &AppName, sha: &str) -> std::io::Result<Noted> {
        let path = self.folder.join(format!("{app}.json"));
        let noted = Noted { path, app: app.clone(), sha: sha.to_owned() };
        noted.note(Stage::Building)?;
        Ok(noted)
    }

    /// Tells the logs of builds that were under way when the platform stopped.
    pub(crate) fn report_interrupted(&self, logs: &dyn Logs) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            if let Some(record) = read(&entry.path()) {
                write_log(logs, &record.app, "ERROR", &record.report());
            }
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Record {
    fn report(&self) -> String {
        let sha = &self.sha;
        match self.stage {
            Stage::Building => format!("build {sha} failed: the platform stopped while it ran; push again"),
            Stage::Releasing => format!(
                "build {sha} was being released when the platform stopped; if `deis releases` does not show it, \
                 push again"
            ),
        }
    }
}

impl Noted {
    /// Written beside its place and moved there: never half a note.
    pub(crate) fn note(&self, stage: Stage) -> std::io::Result<()> {
        let record = Record { app: self.app.clone(), sha: self.sha.clone(), stage };
        let unfinished = self.path.with_extension("new");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(&record)?)?;
        file.sync_data()?;
        fs::rename(&unfinished, &self.path)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
