//! The lifecycle of Cloud Native Buildpacks: Platform API 0.12 to 0.15, Buildpack API 0.7 to 0.12.
//!
//! It works on folders alone: no registry, no Docker socket, no network. What has to be known of images comes in files
//! ([`facts::ImageFacts`], JSON), the result leaves as an OCI image layout without the layers that exist already.
//! The program `lifecycle` has a subcommand for each phase; copies of it under a phase's name are that phase.
//!
//! ```text
//! lifecycle analyzer -run-image-facts FILE [-previous FILE] [-layers /layers] [-analyzed <layers>/analyzed.toml]
//! lifecycle detector [-analyzed FILE] [-app /workspace] [-build-config /cnb/build-config] [-buildpacks /cnb/buildpacks]
//!                    [-group FILE] [-layers DIR] [-order FILE] [-plan FILE] [-platform /platform] [-system FILE]
//! lifecycle restorer [-layers DIR] [-group FILE] [-previous FILE] [-cache-dir DIR] [-keep-launch-layers] [-skip-layers]
//!                    [-uid N] [-gid N] [-max-bytes N] [-max-entries N]
//! lifecycle builder  [-analyzed FILE] [-app DIR] [-build-config DIR] [-buildpacks DIR] [-group FILE] [-layers DIR]
//!                    [-plan FILE] [-platform DIR]
//! lifecycle exporter -run-image-facts FILE -out DIR [-previous FILE] [-layers DIR] [-app DIR] [-group FILE]
//!                    [-cache-dir DIR] [-keep-launch-layers] [-launcher /cnb/lifecycle/launcher]
//!                    [-lifecycle-descriptor FILE] [-project-metadata FILE] [-process-type TYPE] [-uid N] [-gid N]
//!                    [-max-bytes N] [-max-entries N]
//! lifecycle rebaser  -image FILE -run-image-facts FILE -out DIR [-force]
//! lifecycle launcher [--] COMMAND...          (also as /cnb/process/TYPE)
//! ```
//!
//! Flags have one or two dashes and their value behind a blank or `=`. Those of the Platform API have its defaults and
//! environment variables (`CNB_LAYERS_DIR`, `CNB_APP_DIR`, `CNB_GROUP_PATH`, `CNB_USER_ID`, ...). `CNB_PLATFORM_API`
//! must be set for all but the launcher. Exit codes are those of the Platform API ([`failure`]).
//!
//! | File | Content |
//! |---|---|
//! | `-run-image-facts` | [`facts::ImageFacts`] of the run image: `image`, `mirrors`, `reference`, `config`, `layers` |
//! | `-previous`, `-image` | the same of the app's last image: `config`, `layers`; `-previous` may name a file that is absent |
//! | `-lifecycle-descriptor` | `lifecycle.toml` of the builder image, for the launcher's version in the label |
//! | `-out` | an empty or absent folder; receives `oci-layout`, `index.json`, `blobs/sha256/*` (config, manifest, and each layer above the run image's but for reused ones, uncompressed, digest = diff ID), `report.toml`, `sbom/build/**` |
//! | `-keep-launch-layers` | no file: the cache keeps launch layers as well, and a layer that a buildpack reuses from the last image is written into `-out` again; for stores, such as Docker's, that cannot take a single layer from another image. Without it such a layer is in the manifest alone, as it was in the last image |
//! | `-cache-dir` | the app's cache: `metadata.json` and `layers/<hex of the diff ID>.tar`; changed by the exporter alone, which leaves either the old or the new content whole |
//!
//! Restorer and exporter read only facts, cache, launcher and descriptor as given by the platform, and take everything
//! below `-layers` and `-app` as written by an enemy: no link is followed, only regular files are read, and bytes and
//! entries are bounded. The exporter does not read `analyzed.toml`.

pub mod api;
pub mod archive;
pub mod arguments;
pub mod build;
pub mod buildpacks;
pub mod cache;
pub mod commands;
pub mod detect;
pub mod environment;
pub mod export;
pub mod facts;
pub mod failure;
pub mod folder;
pub mod formats;
pub mod labels;
pub mod launch;
pub mod phase;
pub mod process;
pub mod rebase;
pub mod restore;
