//! Names and bytes that the steps of a build in a cluster agree on. They run side by side in containers of one pod, some
//! of them in the platform's own program, one in `slug` (docs/decisions/0020-steps-of-a-build-run-side-by-side.md).

/// FIFO in the workspace by which the step that takes the source lets the build begin.
pub const SOURCE_FIFO: &str = "source.fifo";
/// FIFO in the workspace by which the build lets the upload begin.
pub const BUILD_FIFO: &str = "build.fifo";
/// All that a step writes into its FIFO, at its end. A FIFO that is closed without it belongs to a step that failed.
pub const SUCCEEDED: &[u8] = b"ok\n";
/// Last line of a step that succeeded, on its standard output and on its standard error.
pub const OUTPUT_END: &str = "\u{1e}deis: end of output\n";
/// Exit code of a step that has not run as the step before it failed (EX_TEMPFAIL).
pub const EXIT_NOT_RUN: u8 = 75;
