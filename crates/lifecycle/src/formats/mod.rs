//! Files of buildpacks and of the Platform API, as TOML.

pub mod process;
