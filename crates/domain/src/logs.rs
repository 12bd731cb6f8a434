//! Log lines of an app: what its processes and the platform said about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{AppName, ProcessType};

/// One line and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub time: Timestamp,
    pub app: AppName,
    pub source: LogSource,
    /// Without the line break.
    pub text: String,
}

/// Who said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    /// A process of the app; `pod` is the last part of the pod's name.
    Process { process: ProcessType, release: u64, pod: String },
    /// A part of the platform (`controller`, `builder`, `router`) and a level (`INFO`, `WARN`, `ERROR`).
    Platform { component: String, level: String },
}

impl LogLine {
    /// The line as users see it (components.md 7.2):
    /// `2026-01-02T03:04:05+00:00 foo[web.v2.2ggow]: hello`.
    pub fn render(&self) -> String {
        let Self { time, app, source, text } = self;
        let time = time.strftime("%Y-%m-%dT%H:%M:%S+00:00");
        match source {
            LogSource::Process { process, release, pod } => {
                format!("{time} {app}[{process}.v{release}.{pod}]: {text}")
            }
            LogSource::Platform { component, level } => format!("{time} deis[{component}]: {level} {text}"),
        }
    }
}
