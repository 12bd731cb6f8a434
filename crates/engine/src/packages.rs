//! Reads the packages of an image from its layers, within bounds: an image may be made to do harm.

use std::io::{self, Cursor, Read, Take};
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use domain::sbom::files::{FileFacts, PackageFile};
use domain::sbom::golang::BuildInfoSearch;
use domain::sbom::layers::Layer;
use domain::sbom::{Inventory, PACKAGES_MAX};
use futures_util::{Stream, StreamExt as _};
use tar::{EntryType, Header, PaxExtensions};
use tokio::sync::mpsc;

use crate::{EngineError, ImageError};

/// Until an image is read.
pub const TIMEOUT_SECONDS: u32 = 5 * 60;
/// Most bytes of all layers, unpacked.
const BYTES_MAX: u64 = 32 << 30;
/// Most entries of all layers.
const ENTRIES_MAX: usize = 2_000_000;
/// Longest name that is read.
const NAME_BYTES_MAX: u64 = 64 << 10;
/// Longest extended header: it has attributes of the file, too.
const EXTENSIONS_BYTES_MAX: u64 = 1 << 20;
/// Pieces of the image between the network and the reader.
const CHUNKS_IN_FLIGHT_MAX: usize = 4;
const BLOCK_BYTES: usize = 512;
/// Place of the checksum in a header.
const SUM_FIELD: Range<usize> = 148..156;
const PART_BYTES: usize = 64 << 10;
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const ELF_MAGIC: &[u8] = b"\x7fELF";
const EXECUTABLE: u32 = 0o111;

/// One reading of an image; the bounds are for all of its layers together.
#[derive(Debug)]
pub struct Scan {
    bytes_left: u64,
    entries_left: usize,
    packages_left: usize,
}

impl Default for Scan {
    fn default() -> Self {
        Self { bytes_left: BYTES_MAX, entries_left: ENTRIES_MAX, packages_left: PACKAGES_MAX }
    }
}

impl Scan {
    /// Reads a layer, compressed or not, to its end.
    ///
    /// # Errors
    ///
    /// For what is no archive, and for an image beyond a bound.
    pub fn layer(&mut self, content: impl Read) -> io::Result<Layer> {
        let Self { bytes_left, entries_left, packages_left } = self;
        let mut plain = Metered { input: unpacked(content)?, bytes_left };
        let mut layer = Layer::default();
        let mut extended = Extended::default();
        while let Some(header) = next_header(&mut plain)? {
            *entries_left = entries_left.checked_sub(1).ok_or_else(|| too_large("files", ENTRIES_MAX))?;
            let kind = header.entry_type();
            let is_extension = matches!(kind, EntryType::GNULongName | EntryType::XHeader);
            let size_bytes =
                extended.size_bytes.take_if(|_| !is_extension).map_or_else(|| size_of(&header), Ok)?;
            let mut content = (&mut plain).take(size_bytes);
            match kind {
                EntryType::GNULongName => extended.name = Some(long_name(&mut content)?),
                EntryType::XHeader => extended.read(&mut content)?,
                EntryType::GNULongLink | EntryType::XGlobalHeader => {}
                kind => {
                    let path = extended.name.take().unwrap_or_else(|| header.path_bytes().into_owned());
                    let path = String::from_utf8_lossy(&path);
                    let path = path.trim_start_matches("./").trim_matches('/');
                    layer.entry(path, kind.is_dir());
                    if kind.is_file() {
                        add(&mut layer, path, &header, &mut content, packages_left)?;
                    }
                }
            }
            let padding_bytes = size_bytes.next_multiple_of(BLOCK_BYTES as u64) - size_bytes;
            let left_bytes = content.limit() + padding_bytes;
            if io::copy(&mut (&mut plain).take(left_bytes), &mut io::sink())? < left_bytes {
                return Err(malformed("a layer ends within a file"));
            }
        }
        io::copy(&mut plain, &mut io::sink())?;
        Ok(layer)
    }
}

/// The next header; `None` at the end of the archive.
fn next_header(archive: &mut impl Read) -> io::Result<Option<Header>> {
    let mut block = [0; BLOCK_BYTES];
    let length = read_start(archive, &mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let header = Header::from_byte_slice(&block);
    // The checksum is over the block with spaces in its own place.
    let spaces = SUM_FIELD.len() as u32 * u32::from(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    let own: u32 = block[SUM_FIELD].iter().map(|byte| u32::from(*byte)).sum();
    if length < BLOCK_BYTES || header.cksum()? != sum - own + spaces {
        return Err(malformed("a layer is no archive"));
    }
    Ok(Some(header.clone()))
}

/// Size of the content. A field of zeros is one that was not set, which all other readers take for 0.
fn size_of(header: &Header) -> io::Result<u64> {
    let size_bytes = match header.as_old().size {
        field if field.iter().all(|byte| *byte == 0) => 0,
        _ => header.entry_size()?,
    };
    let is_good = size_bytes <= BYTES_MAX;
    is_good.then_some(size_bytes).ok_or_else(|| malformed("a file in it is too large"))
}

/// What precedes a header and is about its file.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    size_bytes: Option<u64>,
}

impl Extended {
    /// Reads a PAX header.
    fn read(&mut self, header: &mut impl Read) -> io::Result<()> {
        let mut records = Vec::new();
        header.take(EXTENSIONS_BYTES_MAX + 1).read_to_end(&mut records)?;
        if records.len() as u64 > EXTENSIONS_BYTES_MAX {
            return Err(malformed("an extended header of a file is too long"));
        }
        for record in PaxExtensions::new(&records) {
            let record = record?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_owned()),
                b"size" => {
                    let size_bytes = record.value().ok().and_then(|value| value.parse().ok());
                    let size_bytes = size_bytes.filter(|size_bytes| *size_bytes <= BYTES_MAX);
                    self.size_bytes = Some(size_bytes.ok_or_else(|| malformed("a file in it is too large"))?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Adds the packages of a file to its layer.
fn add(
    layer: &mut Layer,
    path: &str,
    header: &Header,
    content: &mut Take<impl Read>,
    packages_left: &mut usize,
) -> io::Result<()> {
    let facts = match PackageFile::at(path) {
        Some(kind) if kind.bytes_max() == 0 => kind.read(path, &[]),
        Some(kind) if content.limit() <= kind.bytes_max() => {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            kind.read(path, &bytes)
        }
        None if header.mode().is_ok_and(|mode| mode & EXECUTABLE != 0) => go_modules(content)?,
        _ => return Ok(()),
    };
    let count = facts.packages.len();
    *packages_left = packages_left.checked_sub(count).ok_or_else(|| too_large("packages", PACKAGES_MAX))?;
    layer.add(path, facts);
    Ok(())
}

fn go_modules(program: &mut impl Read) -> io::Result<FileFacts> {
    let mut part = vec![0; PART_BYTES];
    let mut search = BuildInfoSearch::default();
    let mut length = read_start(program, &mut part[..ELF_MAGIC.len()])?;
    if part[..length] == *ELF_MAGIC {
        while length > 0 && search.take(&part[..length]) {
            length = program.read(&mut part)?;
        }
    }
    Ok(FileFacts { packages: search.packages(), ..FileFacts::default() })
}

/// The content of a header of GNU's for a long name.
fn long_name(header: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut name = Vec::new();
    header.take(NAME_BYTES_MAX).read_to_end(&mut name)?;
    while name.pop_if(|last| *last == 0).is_some() {}
    Ok(name)
}

fn unpacked<'a>(mut content: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = [0; 4];
    let length = read_start(&mut content, &mut start)?;
    let content = Cursor::new(start).take(length as u64).chain(content);
    Ok(if start.starts_with(GZIP_MAGIC) {
        Box::new(flate2::read::MultiGzDecoder::new(content))
    } else if start == ZSTD_MAGIC {
        Box::new(zstd::Decoder::new(content)?)
    } else {
        Box::new(content)
    })
}

/// Fills the buffer, unless the content is shorter.
fn read_start(content: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match content.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// Counts the bytes that are read.
struct Metered<'a, R> {
    input: R,
    bytes_left: &'a mut u64,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let left = self.bytes_left.checked_sub(read as u64);
        *self.bytes_left = left.ok_or_else(|| malformed("it is too large to be read"))?;
        Ok(read)
    }
}

fn too_large(what: &str, max: usize) -> io::Error {
    malformed(&format!("it has more than {max} {what}"))
}

fn malformed(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Lets a thread for blocking work read the content while it comes. If the future is dropped, the content ends.
pub async fn read_blocking<T: Send + 'static>(
    content: impl Stream<Item = io::Result<Bytes>> + Send,
    read: impl FnOnce(ChunkReader) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT_MAX);
    let reading = tokio::task::spawn_blocking(move || read(ChunkReader { chunks, current: Bytes::new() }));
    let sending = async move {
        let mut content = pin!(content);
        while let Some(chunk) = content.next().await {
            // The reader has seen enough.
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
    };
    let ((), read) = tokio::join!(sending, reading);
    read.map_err(io::Error::other)?
}

/// Content as it comes, for a blocking reader.
#[derive(Debug)]
pub struct ChunkReader {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        buffer[..length].copy_from_slice(&self.current.split_to(length));
        Ok(length)
    }
}

/// Reads an image within the time that there is for it; `name` is for the error.
pub async fn within_time(
    name: &str,
    read: impl Future<Output = Result<Inventory, ImageError>>,
) -> Result<Inventory, ImageError> {
    let read = tokio::time::timeout(Duration::from_secs(TIMEOUT_SECONDS.into()), read).await;
    read.unwrap_or_else(|_| Err(unreadable(name, &format!("it took longer than {TIMEOUT_SECONDS} seconds"))))
}

/// Error for an image that cannot be read.
pub fn unreadable(name: &str, reason: &impl std::fmt::Display) -> ImageError {
    EngineError::Refused { what: format!("list the packages of image {name}"), reason: reason.to_string() }
        .into()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use domain::sbom::layers::inventory;
    use tar::Builder;

    use super::*;

    const MODULE: &[u8] = br#"{"name":"a","version":"1"}"#;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, path, *content).expect("memory takes it");
        }
        archive.into_inner().expect("memory takes it")
    }

    fn names(layer: &Layer) -> Vec<String> {
        inventory([layer]).packages.into_iter().map(|package| package.name).collect()
    }

    #[test]
    fn a_layer_is_read_however_it_is_compressed_and_however_long_its_names_are() {
        let long = format!("{}node_modules/a/package.json", "long/".repeat(60));
        let plain = archive(&[("./etc/motd", b"hi"), (&long, MODULE)]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).expect("memory takes it");
        let zstd = zstd::encode_all(&plain[..], 1).expect("memory takes it");

        for content in [plain.clone(), gzip.finish().expect("memory takes it"), zstd] {
            let layer = Scan::default().layer(&content[..]).expect("a layer");
            assert_eq!(names(&layer), ["a"]);
        }
    }

    #[test]
    fn a_name_in_a_pax_header_counts() {
        let mut layer = Builder::new(Vec::new());
        let path = "app/node_modules/a/package.json";
        layer
            .append_pax_extensions([("mtime", &b"1.5"[..]), ("path", path.as_bytes())])
            .expect("memory takes it");
        let mut header = Header::new_ustar();
        header.set_size(MODULE.len() as u64);
        header.set_mode(0o644);
        layer.append_data(&mut header, "cut", MODULE).expect("memory takes it");
        let layer = layer.into_inner().expect("memory takes it");

        assert_eq!(names(&Scan::default().layer(&layer[..]).expect("a layer")), ["a"]);
    }

    #[test]
    fn an_image_beyond_a_bound_is_an_error_that_names_it() {
        let layer =
            archive(&[("node_modules/a/package.json", MODULE), ("node_modules/b/package.json", MODULE)]);
        let scans = [
            (Scan { bytes_left: 1_000, ..Scan::default() }, "too large"),
            (Scan { entries_left: 1, ..Scan::default() }, "more than 2000000 files"),
            (Scan { packages_left: 1, ..Scan::default() }, "more than 50000 packages"),
        ];
        for (mut scan, wanted) in scans {
            let error = scan.layer(&layer[..]).expect_err("it is beyond a bound").to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    /// Other readers take the size of folders without one for 0.
    #[test]
    fn a_header_without_a_size_is_of_an_empty_file() {
        let mut folder = Header::new_ustar();
        folder.set_entry_type(EntryType::Directory);
        folder.set_path("app/").expect("a short path");
        folder.set_cksum();
        let layer = [folder.as_bytes(), &archive(&[("node_modules/a/package.json", MODULE)])[..]].concat();

        assert_eq!(names(&Scan::default().layer(&layer[..]).expect("a layer")), ["a"]);
    }

    #[test]
    fn what_is_no_archive_or_not_whole_is_an_error() {
        let layer = archive(&[("a", &[1; 2_000])]);
        for content in [&[7; 2_000][..], &layer[..100], &layer[..1_000]] {
            Scan::default().layer(content).expect_err("it is no archive");
        }
    }

    #[tokio::test]
    async fn content_that_breaks_off_is_an_error() {
        let layer = archive(&[("node_modules/a/package.json", MODULE)]);
        let parts = [Ok(Bytes::from(layer)), Err(io::Error::other("broken off"))];
        let content = futures_util::stream::iter(parts);

        let read = read_blocking(content, |input| Scan::default().layer(input)).await;

        assert_eq!(read.expect_err("it broke off").to_string(), "broken off");
    }
}
