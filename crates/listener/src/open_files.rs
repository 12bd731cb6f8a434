//! Limit of open files of this process: connections are files.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The minimum of POSIX, assumed if the system names no limit.
const LEAST: u64 = 256;

/// Raises the soft limit of open files to the hard one, as far as the system allows, and returns the current
/// limit.
pub fn open_files_max() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((LEAST, LEAST));
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    usize::try_from(if raised { hard } else { soft }).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        assert!(open_files_max() >= 256);
    }
}
