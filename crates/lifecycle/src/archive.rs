//! Layers: uncompressed tar archives that depend on names, modes and contents alone.

pub mod budget;
pub mod layer_writer;
pub mod tree;
