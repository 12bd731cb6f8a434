//! Pointers of Git LFS in a source, found in the archive as it passes by.
//!
//! The platform does not fetch what they stand for, so that a build takes them for the files themselves. A pointer is a
//! small text (git-lfs's `docs/spec.md`): less than 1,024 bytes that begin with its version.

use std::mem::take;

use crate::tree::shown;

const BLOCK_BYTES: usize = 512;
const POINTER_BYTES_MAX: u64 = 1_023;
const POINTER_BEGINS: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Bytes kept of an extended header, which holds a long name.
const EXTENDED_BYTES_MAX: usize = 8 << 10;
/// Names that are listed.
const NAMES_MAX: usize = 10;

/// Looks through the archive that `git archive` writes, piece by piece.
#[derive(Default)]
pub(crate) struct Pointers {
    header: Vec<u8>,
    entry: TreeEntry,
    /// Remaining bytes of the entry, content with padding, and its kept part.
    left_bytes: u64,
    content: Vec<u8>,
    /// The name of the next entry, where it does not fit into a header.
    long_name: Option<String>,
    names: Vec<String>,
    count: usize,
    /// A header was not understood.
    is_lost: bool,
}

#[derive(Default)]
enum TreeEntry {
    #[default]
    Other,
    Extended,
    SmallFile(String),
}

impl Pointers {
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_lost {
            if self.left_bytes > 0 {
                let count = bytes.len().min(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
                self.keep(&bytes[..count]);
                self.left_bytes -= count as u64;
                bytes = &bytes[count..];
                if self.left_bytes == 0 {
                    self.end_entry();
                }
            } else {
                let count = bytes.len().min(BLOCK_BYTES - self.header.len());
                self.header.extend_from_slice(&bytes[..count]);
                bytes = &bytes[count..];
                if self.header.len() == BLOCK_BYTES {
                    self.begin_entry();
                }
            }
        }
    }

    /// The lines for the pusher; none where there are no pointers.
    pub(crate) fn report(&self) -> Vec<String> {
        if self.count == 0 {
            return Vec::new();
        }
        vec![
            format!(" !     {} of Git LFS: the build gets the pointers, not the files.", list(&self.names, self.count)),
            " !     Commit the files themselves (`git lfs migrate export`), or fetch them where they are used.".to_owned(),
        ]
    }

    fn begin_entry(&mut self) {
        let header = take(&mut self.header);
        if header.iter().all(|byte| *byte == 0) {
            return;
        }
        let Some(size_bytes) = octal(&header[124..136]) else {
            self.is_lost = true;
            return;
        };
        self.left_bytes = size_bytes.next_multiple_of(BLOCK_BYTES as u64);
        let long_name = self.long_name.take();
        self.entry = match header[156] {
            b'x' => TreeEntry::Extended,
            b'0' | 0 if size_bytes <= POINTER_BYTES_MAX => {
                TreeEntry::SmallFile(long_name.unwrap_or_else(|| name(&header)))
            }
            _ => TreeEntry::Other,
        };
        if self.left_bytes == 0 {
            self.end_entry();
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let kept_max = match self.entry {
            TreeEntry::Other => 0,
            TreeEntry::Extended => EXTENDED_BYTES_MAX,
            TreeEntry::SmallFile(_) => POINTER_BEGINS.len(),
        };
        let room = kept_max.saturating_sub(self.content.len());
        self.content.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_entry(&mut self) {
        let content = take(&mut self.content);
        match take(&mut self.entry) {
            TreeEntry::Other => {}
            TreeEntry::Extended => self.long_name = path_in(&content),
            TreeEntry::SmallFile(name) => {
                if content.starts_with(POINTER_BEGINS) {
                    self.count += 1;
                    if self.names.len() < NAMES_MAX {
                        self.names.push(name);
                    }
                }
            }
        }
    }
}

/// The first names of `count`, as in `a, b and 3 more`.
pub(crate) fn list(names: &[String], count: usize) -> String {
    let told: Vec<_> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    match count - told.len() {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    u64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
}

/// The name in a header (ustar): a prefix and what follows it.
fn name(header: &[u8]) -> String {
    let text = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        shown(&field[..end])
    };
    let (prefix, name) = (text(&header[345..500]), text(&header[..100]));
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

/// The record `path` of an extended header, whose records are `<length> <key>=<value>\n` (pax).
fn path_in(mut records: &[u8]) -> Option<String> {
    while let Some(blank) = records.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&records[..blank]).ok()?.parse().ok()?;
        let record = records.get(blank + 1..length.checked_sub(1)?)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(shown(path));
        }
        records = &records[length..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n";

    fn header(name: &str, kind: u8, size: usize) -> Vec<u8> {
        let mut header = vec![0; BLOCK_BYTES];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header[156] = kind;
        header
    }

    fn entry(name: &str, kind: u8, content: &str) -> Vec<u8> {
        let mut entry = header(name, kind, content.len());
        entry.extend_from_slice(content.as_bytes());
        entry.resize(entry.len().next_multiple_of(BLOCK_BYTES), 0);
        entry
    }

    fn found(archive: &[u8], piece_bytes: usize) -> Pointers {
        let mut pointers = Pointers::default();
        archive.chunks(piece_bytes).for_each(|piece| pointers.add(piece));
        pointers
    }

    #[test]
    fn pointers_are_named_wherever_the_pieces_end() {
        let long = format!("deep/{}", "n".repeat(150));
        let record = format!("165 path={long}\n");
        let archive = [
            entry("pax_global_header", b'g', "52 comment=x\n"),
            entry("film.mp4", b'0', POINTER),
            entry("folder/", b'5', ""),
            entry("link", b'2', ""),
            entry("large", b'0', &format!("{POINTER}{}", "x".repeat(2_000))),
            entry("0123.paxheader", b'x', &record),
            entry("0123.data", b'0', POINTER),
            entry("Procfile", b'0', "web: ./serve\n"),
            entry("empty", b'0', ""),
            vec![0; 10_240],
        ]
        .concat();

        assert_eq!(record.len(), 165);
        for piece_bytes in [1, 7, 512, 100_000] {
            let found = found(&archive, piece_bytes);
            assert_eq!(found.names, ["film.mp4".to_owned(), shown(long.as_bytes())]);
            assert!(found.report()[0].contains("film.mp4, deep/nnn"), "{:?}", found.report());
        }
    }

    #[test]
    fn many_pointers_are_counted_and_a_few_told() {
        let archive: Vec<u8> =
            (0..40).flat_map(|number| entry(&format!("f{number}"), b'0', POINTER)).collect();

        let report = found(&archive, 4_096).report();

        assert!(report[0].contains("f9 and 30 more of Git LFS"), "{report:?}");
    }

    #[test]
    fn sources_without_pointers_and_what_is_no_archive_are_passed_by() {
        assert!(found(&entry("Procfile", b'0', "web: x\n"), 512).report().is_empty());
        let broken = [vec![b'?'; 700], entry("f", b'0', POINTER)].concat();
        assert!(found(&broken, 512).report().is_empty());
    }
}
