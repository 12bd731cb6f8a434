//! Images of a cluster on a real registry: CNCF Distribution behind our tokens.

mod access;
mod bundles;
mod images;
mod world;
