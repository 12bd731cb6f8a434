//! Division of the process's open files (connections are files) among its listeners at start, so that clients of
//! apps cannot take those of API, database and builds.

/// Of what apps' logs, the database, the engine and builds keep open, in part of all and at most.
const KEPT: FileShare = FileShare { part: 8, most: 2_048 };
const API: FileShare = FileShare { part: 16, most: 1_024 };
const HOOKS: FileShare = FileShare { part: 64, most: 128 };
const LOGGER: FileShare = FileShare { part: 16, most: 1_024 };
/// No listener has less.
const LEAST: usize = 16;

struct FileShare {
    /// One of so many parts.
    part: usize,
    most: usize,
}

impl FileShare {
    fn of(&self, files: usize) -> usize {
        (files / self.part).clamp(LEAST, self.most)
    }
}

/// Connections that each listener of `workflow up` may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionShares {
    pub api: usize,
    pub hooks: usize,
    pub logger: usize,
    /// Files of the router, which divides them among clients and apps.
    pub router_files: usize,
}

impl ConnectionShares {
    /// Divides what this process may have open.
    pub fn of_this_process() -> Self {
        let files = listener::open_files_max();
        let connections = Self::of(files);
        tracing::info!(
            files,
            router = connections.router_files,
            api = connections.api,
            logger = connections.logger,
            "open files are divided"
        );
        connections
    }

    fn of(files: usize) -> Self {
        let (api, hooks, logger) = (API.of(files), HOOKS.of(files), LOGGER.of(files));
        let others = KEPT.of(files) + api + hooks + logger;
        Self { api, hooks, logger, router_files: files.saturating_sub(others).max(LEAST) }
    }
}

/// Connections of the API, of the hooks and of a logger, where each has a process to itself.
pub fn alone(most: usize) -> usize {
    (listener::open_files_max() / 4).clamp(LEAST, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visitors_do_not_get_the_files_that_the_platform_needs() {
        for files in [256, 1_024, 4_096, 20_000, 65_536, 1 << 20] {
            let ConnectionShares { api, hooks, logger, router_files } = ConnectionShares::of(files);

            assert!(api + hooks + logger + router_files + KEPT.of(files) <= files, "{files}");
            assert!([api, hooks, logger, router_files].into_iter().all(|share| share >= LEAST), "{files}");
            assert!(router_files >= files / 2, "{files}");
        }
    }

    #[test]
    fn a_large_limit_does_not_make_connections_cost_all_memory() {
        let ConnectionShares { api, hooks, logger, .. } = ConnectionShares::of(1 << 20);

        assert_eq!((api, hooks, logger), (1_024, 128, 1_024));
        assert_eq!(ConnectionShares::of(20_000).router_files, 15_776);
    }
}
