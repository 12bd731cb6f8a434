//! Modules of a Go program, from the build information that Go 1.18 and later write into it.

use super::{Package, PackageKind};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Magic, size of pointers, flags, padding.
const HEADER_BYTES: usize = 32;
const FLAGS_AT: usize = 15;
/// The texts follow the header.
const INLINE: u8 = 2;
/// Marks around the list of modules.
const SENTINEL_BYTES: usize = 16;
/// Most bytes of the information.
const INFO_BYTES_MAX: usize = 1 << 20;

/// Finds the build information in a program that comes in parts.
#[derive(Debug, Default)]
pub struct BuildInfoSearch {
    /// The end of what was seen, or the information and what follows it.
    kept: Vec<u8>,
    is_found: bool,
}

impl BuildInfoSearch {
    /// Takes the next part; returns false once nothing more is needed.
    pub fn take(&mut self, part: &[u8]) -> bool {
        self.kept.extend_from_slice(part);
        while !self.is_found {
            let Some(place) = find(&self.kept, MAGIC) else {
                self.kept.drain(..self.kept.len().saturating_sub(HEADER_BYTES));
                return true;
            };
            self.kept.drain(..place);
            match self.kept.get(FLAGS_AT) {
                None => return true,
                Some(flags) if flags & INLINE != 0 => self.is_found = true,
                // The magic may be a constant of the program.
                Some(_) => drop(self.kept.drain(..MAGIC.len())),
            }
        }
        self.kept.truncate(INFO_BYTES_MAX);
        self.kept.len() < INFO_BYTES_MAX
    }

    /// Modules of the program and the version of Go; none for other programs.
    pub fn packages(&self) -> Vec<Package> {
        let texts = self.kept.get(HEADER_BYTES..).filter(|_| self.is_found);
        texts.and_then(modules).unwrap_or_default()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(place) = bytes[from..].iter().position(|byte| *byte == wanted[0]) {
        if bytes[from + place..].starts_with(wanted) {
            return Some(from + place);
        }
        from += place + 1;
    }
    None
}

fn modules(texts: &[u8]) -> Option<Vec<Package>> {
    let (go, rest) = text(texts)?;
    let (list, _) = text(rest)?;
    let list = list.get(SENTINEL_BYTES..list.len().checked_sub(SENTINEL_BYTES)?).unwrap_or_default();
    let go = std::str::from_utf8(go).ok()?;
    let go = go.strip_prefix("go").and_then(|version| version.split_whitespace().next());
    let mut packages = Vec::from_iter(Package::new(PackageKind::Golang, "stdlib", go?));
    for line in String::from_utf8_lossy(list).lines() {
        let mut fields = line.split('\t');
        let (Some(kind @ ("dep" | "=>")), Some(name), Some(version)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if kind == "=>" {
            packages.pop();
        }
        packages.extend(Package::new(PackageKind::Golang, name, version));
    }
    Some(packages)
}

/// A text behind its length, a number of 7 bits a byte.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift) = (0_usize, 0);
    for (place, byte) in bytes.iter().enumerate().take(4) {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return bytes[place + 1..].split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_length(text: &[u8]) -> Vec<u8> {
        let low = u8::try_from(text.len() & 0x7f).expect("7 bits") | 0x80;
        let high = u8::try_from(text.len() >> 7).expect("a short text");
        [&[low, high], text].concat()
    }

    /// A program with the magic as a constant before the information itself.
    fn program() -> Vec<u8> {
        let list = "path\texample.com/app\nmod\texample.com/app\t(devel)\t\n\
            dep\tgithub.com/Go-Chi/chi/v5\tv5.2.2\th1:a=\ndep\tgolang.org/x/text\tv0.3.0\n\
            =>\tgolang.org/x/text\tv0.27.0\th1:b=\nbuild\t-compiler=gc\n";
        let list = [&[1; SENTINEL_BYTES], list.as_bytes(), &[2; SENTINEL_BYTES]].concat();
        let mut program = vec![0xff; 1000];
        program.extend_from_slice(MAGIC);
        program.extend_from_slice(&[0; 3000]);
        program.extend_from_slice(MAGIC);
        program.extend_from_slice(&[8, INLINE]);
        program.extend_from_slice(&[0; HEADER_BYTES - 16]);
        program.extend(with_length(b"go1.24.5 X:nocoverageredesign"));
        program.extend(with_length(&list));
        program.extend_from_slice(&[0; 500]);
        program
    }

    #[test]
    fn modules_are_found_however_the_program_is_cut() {
        for size in [1, 7, 100, 100_000] {
            let mut search = BuildInfoSearch::default();
            for part in program().chunks(size) {
                search.take(part);
            }

            let found = search.packages();
            let found: Vec<_> =
                found.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect();
            let wanted = [
                ("stdlib", "1.24.5"),
                ("github.com/Go-Chi/chi/v5", "v5.2.2"),
                ("golang.org/x/text", "v0.27.0"),
            ];
            assert_eq!(found, wanted, "in parts of {size}");
        }
    }

    #[test]
    fn other_and_damaged_programs_have_none() {
        let whole = program();
        for program in [&whole[..2000], &whole[..whole.len() - 700], b"", MAGIC] {
            let mut search = BuildInfoSearch::default();
            search.take(program);
            assert_eq!(search.packages(), []);
        }
    }
}
