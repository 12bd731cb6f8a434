//! Extracts the data of an app's body from the received bytes, for every kind of framing.

use super::chunks::{ChunkError, Chunks};
use super::response::BodyEnd;

#[derive(Debug)]
pub(crate) enum BodyReader {
    Length(u64),
    Chunks(Chunks),
    /// Until the connection ends.
    Rest,
}

impl BodyReader {
    pub(crate) fn new(ends: BodyEnd) -> Self {
        match ends {
            BodyEnd::AtOnce => Self::Length(0),
            BodyEnd::After(length) => Self::Length(length),
            BodyEnd::ByChunks => Self::Chunks(Chunks::new()),
            BodyEnd::WithConnection => Self::Rest,
        }
    }

    /// The first data in `bytes`, and how many bytes are done with it.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<(&'a [u8], usize), ChunkError> {
        match self {
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= count as u64;
                Ok((&bytes[..count], count))
            }
            Self::Chunks(chunks) => chunks.next(bytes),
            Self::Rest => Ok((bytes, bytes.len())),
        }
    }

    /// Returns true if the body is complete, so that later bytes are not part of it.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.is_over(),
            Self::Rest => false,
        }
    }

    /// Returns true if the end of the connection here completes the body.
    pub(crate) fn may_end_here(&self) -> bool {
        matches!(self, Self::Rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_ends_as_it_was_told() {
        let mut length = BodyReader::new(BodyEnd::After(3));
        assert_eq!(length.next(b"ab"), Ok((&b"ab"[..], 2)));
        assert!(!length.is_over() && !length.may_end_here());
        assert_eq!(length.next(b"cd"), Ok((&b"c"[..], 1)));
        assert!(length.is_over());

        let mut rest = BodyReader::new(BodyEnd::WithConnection);
        assert_eq!(rest.next(b"ab"), Ok((&b"ab"[..], 2)));
        assert!(!rest.is_over() && rest.may_end_here());
        assert!(BodyReader::new(BodyEnd::AtOnce).is_over());
    }
}
