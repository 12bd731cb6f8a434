//! Records of builds under way, so that one that a crash interrupted is reported.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use domain::AppName;
use engine::LogSink;
use serde::{Deserialize, Serialize};

use crate::BuilderError;
use crate::host_keys::make_private_folder;
use crate::pusher::write_log;

/// A folder with one file for each app that is being built.
pub(crate) struct Records {
    folder: PathBuf,
}

/// Stage of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PushStage {
    Building,
    Releasing,
}

#[derive(Serialize, Deserialize)]
struct Record {
    app: AppName,
    sha: String,
    stage: PushStage,
}

/// The note about one build; dropping it takes the note away.
pub(crate) struct PushRecord {
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
    pub(crate) fn begin(&self, app: &AppName, sha: &str) -> std::io::Result<PushRecord> {
        let path = self.folder.join(format!("{app}.json"));
        let noted = PushRecord { path, app: app.clone(), sha: sha.to_owned() };
        noted.note(PushStage::Building)?;
        Ok(noted)
    }

    /// Logs the builds that were under way when the platform stopped.
    pub(crate) fn report_interrupted(&self, log_sink: &dyn LogSink) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            if let Some(record) = read(&entry.path()) {
                write_log(log_sink, &record.app, "ERROR", &record.report());
            }
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Record {
    fn report(&self) -> String {
        let sha = &self.sha;
        match self.stage {
            PushStage::Building => {
                format!("build {sha} failed: the platform stopped while it ran; push again")
            }
            PushStage::Releasing => format!(
                "build {sha} was being released when the platform stopped; if `deis releases` does not show it, \
                 push again"
            ),
        }
    }
}

impl PushRecord {
    /// Written beside its place and moved there: never half a note.
    pub(crate) fn note(&self, stage: PushStage) -> std::io::Result<()> {
        let record = Record { app: self.app.clone(), sha: self.sha.clone(), stage };
        let unfinished = self.path.with_extension("new");
        let mut file = File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(&record)?)?;
        file.sync_data()?;
        fs::rename(&unfinished, &self.path)
    }
}

impl Drop for PushRecord {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
