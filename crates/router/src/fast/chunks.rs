//! Takes chunks apart (RFC 9112 section 7.1), wherever the bytes happen to be cut. Extensions and trailers are
//! passed over.

/// Most bytes of extensions of all chunks, and of trailers.
const EXTRA_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
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

/// Where the reading of a chunked body has come to.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    /// Of the chunk at hand.
    left: u64,
    extra_bytes: usize,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Damaged;

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { state: State::Start, left: 0, extra_bytes: 0 }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// The first data in `bytes`, and how many bytes are done with it; without data, all are unless it is over.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<(&'a [u8], usize), Damaged> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Over {
            if self.state == State::Data {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                self.left -= count as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok((&bytes[at..at + count], at + count));
            }
            self.state = self.step(bytes[at])?;
            at += 1;
        }
        Ok((&[], at))
    }

    fn step(&mut self, byte: u8) -> Result<State, Damaged> {
        Ok(match (self.state, byte) {
            (State::Start, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.left = 0;
                self.digit(byte)?
            }
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte)?,
            (State::Size | State::Blank, b' ' | b'\t') => State::Blank,
            (State::Size | State::Blank, b';') => State::Extension,
            (State::Size | State::Blank | State::Extension, b'\r') => State::SizeLf,
            (State::Extension, byte) if byte != b'\n' => self.extra(State::Extension)?,
            (State::SizeLf, b'\n') if self.left == 0 => State::TrailerStart,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Start,
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerStart | State::Trailer, byte) if byte != b'\n' => self.extra(State::Trailer)?,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Over,
            _ => return Err(Damaged),
        })
    }

    fn digit(&mut self, byte: u8) -> Result<State, Damaged> {
        let digit = char::from(byte).to_digit(16).ok_or(Damaged)?;
        let left = self.left.checked_mul(16).and_then(|left| left.checked_add(u64::from(digit)));
        self.left = left.ok_or(Damaged)?;
        Ok(State::Size)
    }

    fn extra(&mut self, next: State) -> Result<State, Damaged> {
        self.extra_bytes += 1;
        if self.extra_bytes > EXTRA_BYTES_MAX { Err(Damaged) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of a body that comes in pieces of `size`, and how many bytes came behind it.
    fn read(text: &str, size: usize) -> Result<(String, usize), Damaged> {
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
                    Err(Damaged) => break true,
                    Ok((_, used)) if used == rest.len() => break false,
                    Ok((_, used)) => rest = &rest[used..],
                }
            };
            assert!(damaged, "{text:?}");
        }
        let long = format!("1;{}\r\n", "a".repeat(EXTRA_BYTES_MAX + 1));
        assert_eq!(Chunks::new().next(long.as_bytes()), Err(Damaged));
    }
}
