//! The phases by name, with their flags and exit codes.

use crate::failure::code;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Analyzer,
    Detector,
    Restorer,
    Builder,
    Exporter,
    Rebaser,
    Launcher,
}

impl Phase {
    /// The phase of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "analyzer" => Self::Analyzer,
            "detector" => Self::Detector,
            "restorer" => Self::Restorer,
            "builder" => Self::Builder,
            "exporter" => Self::Exporter,
            "rebaser" => Self::Rebaser,
            "launcher" => Self::Launcher,
            _ => return None,
        })
    }

    /// Flags that the phase knows. `log-level` is taken and changes nothing.
    pub fn flags(self) -> Vec<&'static str> {
        let flags = match self {
            Self::Analyzer => "run-image-facts previous layers analyzed log-level",
            Self::Detector => {
                "analyzed app build-config buildpacks group layers log-level order plan platform system"
            }
            Self::Restorer => {
                "layers group previous cache-dir keep-launch-layers skip-layers uid gid max-bytes max-entries log-level"
            }
            Self::Builder => "analyzed app build-config buildpacks group layers log-level plan platform",
            Self::Exporter => {
                "run-image-facts out previous layers app group cache-dir keep-launch-layers launcher \
                 lifecycle-descriptor project-metadata process-type uid gid max-bytes max-entries log-level"
            }
            Self::Rebaser => "image run-image-facts out force log-level",
            Self::Launcher => "",
        };
        flags.split_whitespace().collect()
    }

    /// Exit code of failures that have none of their own.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Analyzer => code::ANALYZE,
            Self::Detector => code::DETECT,
            Self::Restorer => code::RESTORE,
            Self::Builder => code::BUILD,
            Self::Exporter => code::EXPORT,
            Self::Rebaser => code::REBASE,
            Self::Launcher => code::LAUNCH,
        }
    }
}
