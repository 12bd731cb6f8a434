//! Commands of an app's process types: the Procfile's, else the defaults of its pack.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use source::ProcessType;
use source::procfile::{self, PROCFILE_BYTES_MAX};

use crate::build::text_file;
use crate::failure::{OrFailure, SlugError};
use crate::release::PackRelease;

/// Commands by type.
pub type ProcessTypes = procfile::Procfile;

/// Reads the Procfile of a folder; `None` when there is none.
pub fn of_procfile(dir: &Path) -> Result<Option<ProcessTypes>, SlugError> {
    let mut bytes = Vec::new();
    match File::open(dir.join("Procfile")) {
        // One byte more than is allowed, so that the parser sees that it is too long.
        Ok(file) => {
            file.take(PROCFILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).or_fail("read Procfile")?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).or_fail("read Procfile"),
    };
    let text = text_file::decoded("Procfile", bytes)?;
    procfile::parse(&text).map(Some).map_err(|error| SlugError::data(error.to_string()))
}

/// The defaults of a pack, their names checked.
pub fn of_release(release: &PackRelease) -> Result<ProcessTypes, SlugError> {
    let mut types = ProcessTypes::new();
    for (name, command) in &release.default_process_types {
        let process_type = ProcessType::parse(name).map_err(|error| {
            SlugError::data(format!("the buildpack's release names process type `{name}`: {error}"))
        })?;
        types.insert(process_type, command.clone());
    }
    Ok(types)
}

/// Finds the command of a type in a slug.
pub fn command_of(dir: &Path, release: &PackRelease, name: &str) -> Result<String, SlugError> {
    let declared = of_procfile(dir)?.unwrap_or_default();
    let defaults = of_release(release)?;
    let known = |types: &ProcessTypes| types.iter().find(|(t, _)| t.as_str() == name).map(|(_, c)| c.clone());
    known(&declared).or_else(|| known(&defaults)).ok_or_else(|| {
        let names: Vec<_> = declared.keys().chain(defaults.keys()).map(ProcessType::as_str).collect();
        let names = if names.is_empty() { "none: add a Procfile".to_owned() } else { names.join(", ") };
        SlugError::usage(format!("process type `{name}` is not known, the app has {names}"))
    })
}
