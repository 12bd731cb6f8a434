//! The data of an app's body, found among the bytes that come, however its end is told.

use super::chunks::{Chunks, Damaged};
use super::response::Ends;

#[derive(Debug)]
pub(crate) enum Source {
    Length(u64),
    Chunks(Chunks),
    /// Until the connection ends.
    Rest,
}

impl Source {
    pub(crate) fn new(ends: Ends) -> Self {
        match ends {
            Ends::AtOnce => Self::Length(0),
            Ends::After(length) => Self::Length(length),
            Ends::ByChunks => Self::Chunks(Chunks::new()),
            Ends::WithConnection => Self::Rest,
        }
    }

    /// The first data in `bytes`, and how many bytes are done with it.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<(&'a [u8], usize), Damaged> {
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

    /// Whether the body is whole, so that whatever comes is none of it.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunks(chunks) => chunks.is_over(),
            Self::Rest => false,
        }
    }

    /// Whether the body is whole where the connection ends.
    pub(crate) fn may_end_here(&self) -> bool {
        matches!(self, Self::Rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_ends_as_it_was_told() {
        let mut length = Source::new(Ends::After(3));
        assert_eq!(length.next(b"ab"), Ok((&b"ab"[..], 2)));
        assert!(!length.is_over() && !length.may_end_here());
        assert_eq!(length.next(b"cd"), Ok((&b"c"[..], 1)));
        assert!(length.is_over());

        let mut rest = Source::new(Ends::WithConnection);
        assert_eq!(rest.next(b"ab"), Ok((&b"ab"[..], 2)));
        assert!(!rest.is_over() && rest.may_end_here());
        assert!(Source::new(Ends::AtOnce).is_over());
    }
}
