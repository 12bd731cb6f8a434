//! Files of buildpacks and of the Platform API, as TOML. Unknown fields are ignored: later APIs add some.

pub mod analyzed;
pub mod buildpack;
pub mod group;
pub mod json;
pub mod launch;
pub mod layer;
pub mod order;
pub mod plan;
pub mod process;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{LifecycleError, OrFailure, Result};

/// Bytes of a file of buildpacks or of the Platform API.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Parses a file's text; `name` is for the message.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    toml::from_str(text).or_fail(format!("{name} cannot be read"))
}

/// Reads a file, or its default where it is absent. Links are followed: only for phases with the rights of buildpacks.
pub fn read_or_default<T: DeserializeOwned + Default>(path: &Path) -> Result<T> {
    match path.try_exists() {
        Ok(false) => Ok(T::default()),
        _ => read(path),
    }
}

/// Reads a file. Links are followed: only for phases with the rights of buildpacks.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    parse(&path.display().to_string(), &read_text(path)?)
}

/// Reads a file of bounded size as text.
pub fn read_text(path: &Path) -> Result<String> {
    let name = path.display();
    let file = File::open(path).or_fail(format!("{name} cannot be opened"))?;
    bounded_text(&name.to_string(), file)
}

/// Reads at most [`FILE_BYTES_MAX`] bytes as text.
pub fn bounded_text(name: &str, file: impl Read) -> Result<String> {
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).or_fail(format!("{name} cannot be read"))?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(LifecycleError::generic(format!("{name} is larger than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

pub fn to_text(value: &impl Serialize) -> Result<String> {
    toml::to_string(value).or_fail("a value cannot be written as TOML")
}

/// Writes a file, and the folders above it.
pub fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).or_fail(format!("{} cannot be made", folder.display()))?;
    }
    std::fs::write(path, to_text(value)?).or_fail(format!("{} cannot be written", path.display()))
}
