//! Takes chunks apart (RFC 9112 section 7.1), wherever the bytes happen to be cut. Extensions and trailers are
//! passed over.

/// Most bytes of extensions of all chunks, and of trailers.
const EXTRA_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    /// Before a size, of which there must be one digit at least.
    Start,
    Size,
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    Over,
}

/// Position in a chunked body.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: ChunkState,
    /// Remaining bytes of the current chunk.
    left: u64,
    extra_bytes: usize,
}

#[derive(Debug, PartialEq)]
pub(crate) struct ChunkError;

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { state: ChunkState::Start, left: 0, extra_bytes: 0 }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == ChunkState::Over
    }

    /// The first data in `bytes`, and how many bytes are done with it; without data, all are unless it is over.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<(&'a [u8], usize), ChunkError> {
        let mut at = 0;
        while at < bytes.len() && self.state != ChunkState::Over {
            if self.state == ChunkState::Data {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.left -= count as u64;
                if self.left == 0 {
                    self.state = ChunkState::DataCr;
                }
                return Ok((&bytes[at..at + count], at + count));
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok((&[], at))
    }

    fn step(&mut self, byte: u8) -> Result<ChunkState, ChunkError> {
        Ok(match (self.state, byte) {
            (ChunkState::Start, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.left = 0;
                self.digit(byte)?
            }
            (ChunkState::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte)?,
            (ChunkState::Size | ChunkState::Blank, b' ' | b'\t') => ChunkState::Blank,
            (ChunkState::Size | ChunkState::Blank, b';') => ChunkState::Extension,
            (ChunkState::Size | ChunkState::Blank | ChunkState::Extension, b'\r') => ChunkState::SizeLf,
            (ChunkState::Extension, byte) if byte != b'\n' => self.extra(ChunkState::Extension)?,
            (ChunkState::SizeLf, b'\n') if self.left == 0 => ChunkState::TrailerStart,
            (ChunkState::SizeLf, b'\n') => ChunkState::Data,
            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => ChunkState::Start,
            (ChunkState::TrailerStart, b'\r') => ChunkState::EndLf,
            (ChunkState::Trailer, b'\r') => ChunkState::TrailerLf,
            (ChunkState::TrailerStart | ChunkState::Trailer, byte) if byte != b'\n' => {
                self.extra(ChunkState::Trailer)?
            }
            (ChunkState::TrailerLf, b'\n') => ChunkState::TrailerStart,
            (ChunkState::EndLf, b'\n') => ChunkState::Over,
            _ => return Err(ChunkError),
        })
    }

    fn digit(&mut self, byte: u8) -> Result<ChunkState, ChunkError> {
        let digit = char::from(byte).to_digit(16).ok_or(ChunkError)?;
        let left = self.left.checked_mul(16).and_then(|left| left.checked_add(u64::from(digit)));
        self.left = left.ok_or(ChunkError)?;
        Ok(ChunkState::Size)
    }

    fn extra(&mut self, next: ChunkState) -> Result<ChunkState, ChunkError> {
        self.extra_bytes += 1;
        if self.extra_bytes > EXTRA_BYTES_MAX { Err(ChunkError) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a body that comes in pieces of `size`, and how many bytes came behind it.
    fn read(text: &str, size: usize) -> Result<(String, usize), ChunkError> {
        let (mut chunks, mut data, mut left) = (Chunks::new(), Vec::new(), text.len());
        for mut piece in text.as_bytes().chunks(size) {
            while !piece.is_empty() && !chunks.is_over() {
                let (found, used) = chunks.next(piece)?;
                data.extend(found);
                piece = &piece[used..];
                left -= used;
            }
        }
        assert!(chunks.is_over(), "{text:?}");
        Ok((String::from_utf8(data).expect("text"), left))
    }

    #[test]
    fn chunks_are_read_wherever_they_are_cut() {
        let text = "5\r\nhello\r\nA ;a=b\r\n0123456789\r\n00\r\nX-Sum: 1\r\n\r\nnext";
        for size in 1..=text.len() {
            assert_eq!(read(text, size), Ok(("hello0123456789".to_owned(), "next".len())), "{size}");
        }
    }

    #[test]
    fn damaged_chunks_are_told() {
        for text in [
            "\r\n",
            "5\nhello",
            "0x5\r\n",
            "-5\r\n",
            "5 5\r\n",
            "5\r\nhelloX",
            "5\r\nhello\n",
            "g\r\n",
            "fffffffffffffffff\r\n",
            "5;a\nb\r\n",
            "0\r\n\n",
            "0\r\na\n\r\n",
            ";a\r\n",
            "0\r\n\rx",
        ] {
            let mut chunks = Chunks::new();
            let mut rest = text.as_bytes();
            let damaged = loop {
                match chunks.next(rest) {
                    Err(ChunkError) => break true,
                    Ok((_, used)) if used == rest.len() => break false,
                    Ok((_, used)) => rest = &rest[used..],
                }
            };
            assert!(damaged, "{text:?}");
        }
        let long = format!("1;{}\r\n", "a".repeat(EXTRA_BYTES_MAX + 1));
        assert_eq!(Chunks::new().next(long.as_bytes()), Err(ChunkError));
    }
}
