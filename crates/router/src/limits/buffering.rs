//! Limits for buffered request bodies in memory and on disk, in all and by source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use listener::Source;

/// Bounds of all bodies together.
#[derive(Debug, Clone)]
pub struct BufferingSettings {
    /// Folder of the files that hold what memory does not; without, bodies beyond it stream.
    pub dir: Option<PathBuf>,
    /// Bytes of one body that are kept in memory before it goes to disk.
    pub body_memory_max: u64,
    pub memory_max: u64,
    pub disk_max: u64,
    /// Bodies on disk at once: each is an open file.
    pub files_max: usize,
    /// One source has this part of each bound: memory, bytes on disk and files.
    pub source_divisor: u64,
}

impl Default for BufferingSettings {
    fn default() -> Self {
        Self {
            dir: None,
            body_memory_max: 1 << 20,
            memory_max: 64 << 20,
            disk_max: 2 << 30,
            files_max: 512,
            source_divisor: 8,
        }
    }
}

/// Buffered bytes of all workers, by source.
#[derive(Debug)]
pub(crate) struct Buffering {
    pub(crate) settings: BufferingSettings,
    usage: Mutex<BufferUsage>,
}

#[derive(Debug, Default)]
struct BufferUsage {
    all: Amount,
    by_source: HashMap<Source, Amount>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    memory: u64,
    disk: u64,
    files: u64,
}

/// Part of the limits that one body uses, returned on drop.
#[derive(Debug)]
pub(crate) struct BufferShare {
    buffering: Arc<Buffering>,
    /// `None` where the bounds by source do not hold.
    source: Option<Source>,
    own: Amount,
}

impl Buffering {
    pub(crate) fn new(settings: BufferingSettings) -> Self {
        Self { settings, usage: Mutex::default() }
    }

    /// Nothing yet, for a body of this source.
    pub(crate) fn share(self: &Arc<Self>, source: Option<IpAddr>) -> BufferShare {
        BufferShare { buffering: Arc::clone(self), source: source.map(Source::from), own: Amount::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BufferUsage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferShare {
    /// Takes so many bytes of memory more; `false` where that is too much.
    pub(crate) fn take_memory(&mut self, bytes: u64) -> bool {
        let fits_body = self.own.memory + bytes <= self.buffering.settings.body_memory_max;
        fits_body && self.take(Amount { memory: bytes, ..Amount::default() })
    }

    /// Takes so many bytes of disk more.
    pub(crate) fn take_disk(&mut self, bytes: u64) -> bool {
        self.take(Amount { disk: bytes, ..Amount::default() })
    }

    /// Takes a file.
    pub(crate) fn take_file(&mut self) -> bool {
        self.take(Amount { files: 1, ..Amount::default() })
    }

    /// Gives all memory back.
    pub(crate) fn give_back_memory(&mut self) {
        let less = Amount { memory: self.own.memory, ..Amount::default() };
        self.give_back(less);
    }

    fn take(&mut self, more: Amount) -> bool {
        let settings = &self.buffering.settings;
        let max =
            Amount { memory: settings.memory_max, disk: settings.disk_max, files: settings.files_max as u64 };
        let mut kept = self.buffering.lock();
        let all = kept.all.plus(more);
        let of_source = self.source.map(|source| {
            let had = kept.by_source.get(&source).copied().unwrap_or_default();
            (source, had.plus(more))
        });
        let share = max.divided_by(settings.source_divisor);
        if !all.is_within(max) || of_source.is_some_and(|(_, amount)| !amount.is_within(share)) {
            return false;
        }
        kept.all = all;
        if let Some((source, amount)) = of_source {
            kept.by_source.insert(source, amount);
        }
        drop(kept);
        self.own = self.own.plus(more);
        true
    }

    fn give_back(&mut self, less: Amount) {
        if less == Amount::default() {
            return;
        }
        self.own = self.own.minus(less);
        let mut kept = self.buffering.lock();
        kept.all = kept.all.minus(less);
        let Some(source) = self.source else { return };
        let left = kept.by_source.get(&source).copied().unwrap_or_default().minus(less);
        if left == Amount::default() {
            kept.by_source.remove(&source);
        } else {
            kept.by_source.insert(source, left);
        }
    }
}

impl Drop for BufferShare {
    fn drop(&mut self) {
        self.give_back(self.own);
    }
}

impl Amount {
    fn plus(self, more: Self) -> Self {
        Self {
            memory: self.memory + more.memory,
            disk: self.disk + more.disk,
            files: self.files + more.files,
        }
    }

    fn minus(self, less: Self) -> Self {
        Self {
            memory: self.memory - less.memory,
            disk: self.disk - less.disk,
            files: self.files - less.files,
        }
    }

    fn divided_by(self, divisor: u64) -> Self {
        let part = |amount: u64| amount.div_ceil(divisor.max(1));
        Self { memory: part(self.memory), disk: part(self.disk), files: part(self.files) }
    }

    fn is_within(self, max: Self) -> bool {
        self.memory <= max.memory && self.disk <= max.disk && self.files <= max.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffering() -> Arc<Buffering> {
        let settings = BufferingSettings {
            body_memory_max: 100,
            memory_max: 160,
            disk_max: 1_000,
            files_max: 4,
            source_divisor: 2,
            ..BufferingSettings::default()
        };
        Arc::new(Buffering::new(settings))
    }

    fn source(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    #[test]
    fn one_source_has_its_part_and_all_together_the_whole() {
        let buffering = buffering();
        let (mut one, mut same, mut other) =
            (buffering.share(source(1)), buffering.share(source(1)), buffering.share(source(2)));

        assert!(one.take_memory(80) && !same.take_memory(1), "half of 160 is one source's");
        assert!(other.take_memory(80) && !buffering.share(source(3)).take_memory(1), "and two have it all");
        drop(one);
        assert!(same.take_memory(80));
        assert!(other.take_file() && other.take_file() && !other.take_file());
        assert!(!other.take_disk(501) && other.take_disk(500));
    }

    #[test]
    fn who_has_no_share_is_bound_by_the_whole_alone_and_a_body_by_its_own() {
        let buffering = buffering();
        let mut proxied = buffering.share(None);

        assert!(!proxied.take_memory(101), "beyond what one body may have in memory");
        assert!(proxied.take_memory(100) && proxied.take_disk(1_000) && !proxied.take_disk(1));
    }

    #[test]
    fn what_is_given_back_leaves_nothing_behind() {
        let buffering = buffering();
        let mut share = buffering.share(source(1));
        assert!(share.take_memory(50) && share.take_file() && share.take_disk(10));
        share.give_back_memory();
        assert_eq!(buffering.lock().all, Amount { memory: 0, disk: 10, files: 1 });
        drop(share);

        assert_eq!(buffering.lock().all, Amount::default());
        assert!(buffering.lock().by_source.is_empty());
    }
}
