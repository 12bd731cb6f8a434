//! A small disk of its own for a test, to fill it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system in memory; gone with the value.
pub struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, with a note on stderr, if we may not mount one.
    pub fn new(size_kib: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let size = format!("size={size_kib}k,mode=0777");
        let mounted = mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], folder.path());
        if !mounted {
            eprintln!("SKIPPED: a small disk cannot be mounted here (it takes root); nothing was tried");
            return None;
        }
        Some(Self { folder })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Takes all room but this much; see [`SmallDisk::free`].
    pub fn fill(&self, left_bytes: usize) {
        let mut ballast = File::create(self.ballast()).expect("a file");
        while ballast.write_all(&[7; 4096]).is_ok() {}
        let size = ballast.metadata().expect("metadata").len();
        ballast.set_len(size.saturating_sub(left_bytes as u64)).expect("a shorter file");
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("it is there");
    }

    /// Lets nothing be written, or all; only while no file is open.
    #[allow(dead_code, reason = "not all who fill a disk do this too")]
    pub fn set_read_only(&self, is_read_only: bool) {
        let options = if is_read_only { "remount,ro" } else { "remount,rw" };
        assert!(mount(&["-o", options], self.path()), "{options}");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the test's own files may be open still.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn mount(options: &[&str], at: &Path) -> bool {
    let mounted = Command::new("mount").args(options).arg(at).output();
    mounted.is_ok_and(|mounted| mounted.status.success())
}
