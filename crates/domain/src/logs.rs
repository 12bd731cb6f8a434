//! Log lines of an app: what its processes and the platform said about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{AppName, ProcessType};

/// The component that tells requests.
const ROUTER: &str = "router";

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
    /// A part of the platform (`controller`, `builder`, `router`) and a level (`INFO`, `WARN`, `ERROR`; empty where
    /// the line says it itself, as access lines do).
    Platform { component: String, level: String },
}

impl LogSource {
    /// A line of a request or of a release that left, said by a router.
    pub fn router(level: &str) -> Self {
        Self::Platform { component: ROUTER.to_owned(), level: level.to_owned() }
    }

    pub fn is_router(&self) -> bool {
        matches!(self, Self::Platform { component, .. } if component == ROUTER)
    }
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
            LogSource::Platform { component, level } if level.is_empty() => {
                format!("{time} deis[{component}]: {text}")
            }
            LogSource::Platform { component, level } => format!("{time} deis[{component}]: {level} {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_says_its_level_itself_has_no_other() {
        let line = |source| LogLine {
            time: Timestamp::UNIX_EPOCH,
            app: AppName::parse("blog").expect("a good name"),
            source,
            text: "at=info".to_owned(),
        };

        assert_eq!(line(LogSource::router("")).render(), "1970-01-01T00:00:00+00:00 deis[router]: at=info");
        let plain = line(LogSource::router("INFO")).render();
        assert_eq!(plain, "1970-01-01T00:00:00+00:00 deis[router]: INFO at=info");
    }
}
