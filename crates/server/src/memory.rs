//! Freed memory returns to the system.
//!
//! glibc's allocator returns only what lies at the end of one of its arenas. After a flood of connections it keeps the
//! rest for the life of the process (docs/decisions/0018-freed-memory-is-trimmed.md).

use std::time::Duration;

/// Pause between two trims; one takes some milliseconds, during which allocations of one arena wait.
const PAUSE: Duration = Duration::from_secs(30);

/// Starts the thread that trims, for the life of the process.
pub fn keep_trimmed() -> std::io::Result<()> {
    let trimming = std::thread::Builder::new().name("trim".to_owned());
    trimming.spawn(|| {
        loop {
            std::thread::sleep(PAUSE);
            trim();
        }
    })?;
    Ok(())
}

/// Returns whole free pages of all arenas to the system.
fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::malloc_trim(0);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc is bound by hand: malloc_trim(3) takes no pointer and is MT-Safe")]
mod glibc {
    unsafe extern "C" {
        pub safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    const BLOCK_BYTES: usize = 4 << 10;
    const BLOCKS: usize = 32_000;
    /// Every block of this number stays, so that free memory lies between what is in use.
    const KEPT: usize = 64;

    fn resident_bytes() -> usize {
        let text = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is told");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    #[test]
    fn freed_memory_between_what_is_in_use_returns_to_the_system() {
        let before = resident_bytes();
        let mut blocks: Vec<_> = (0..BLOCKS).map(|_| Some(vec![1_u8; BLOCK_BYTES])).collect();
        let full = resident_bytes();
        assert!(full - before > BLOCKS * BLOCK_BYTES / 2, "{before} {full}");
        for (number, block) in blocks.iter_mut().enumerate() {
            if number % KEPT != 0 {
                *block = None;
            }
        }

        trim();

        let after = resident_bytes();
        assert!(after < before + BLOCKS * BLOCK_BYTES / 4, "{before} {full} {after}");
        assert_eq!(blocks.iter().flatten().count(), BLOCKS.div_ceil(KEPT));
    }
}
