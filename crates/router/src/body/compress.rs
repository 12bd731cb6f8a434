//! Compression of streaming bodies. Data is flushed whenever the app pauses, so that streams stay streams.

use std::io::{self, Write as _};
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;
use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder as ZstdEncoder;

use crate::body::{BodyError, StreamedBody};

/// Passed on at the latest when so much has come together.
const CHUNK_BYTES: usize = 16 << 10;
/// About as much work as gzip at its default level, for a smaller body.
const ZSTD_LEVEL: i32 = 3;
/// Powers of two that keep a stream below half a megabyte, where zstd would take several.
const ZSTD_BOUNDS: [CParameter; 3] =
    [CParameter::WindowLog(17), CParameter::HashLog(15), CParameter::ChainLog(15)];

/// Content coding of a body, named as in HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip { level: u32 },
    Zstd,
}

pub(crate) struct CompressedBody {
    body: StreamedBody,
    /// `None` after the end of the data.
    encoder: Option<Encoder>,
    /// Something went in that did not come out yet.
    is_dirty: bool,
    /// The app's trailers, which come behind the end of the data.
    trailers: Option<Frame<Bytes>>,
}

pub(crate) enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl CompressedBody {
    pub(crate) fn new(body: StreamedBody, encoder: Encoder) -> Self {
        Self { body, encoder: Some(encoder), is_dirty: false, trailers: None }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(encoder) = &mut self.encoder else { return Poll::Ready(self.trailers.take().map(Ok)) };
        loop {
            match self.body.poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        encoder.write_all(&data)?;
                        self.is_dirty = true;
                        if encoder.out().len() >= CHUNK_BYTES {
                            return Poll::Ready(Some(Ok(encoder.taken())));
                        }
                    }
                    Err(trailers) => self.trailers = Some(trailers),
                },
                Poll::Ready(None) => {
                    let encoder = self.encoder.take().expect("it was there a moment ago");
                    return Poll::Ready(Some(Ok(Frame::data(encoder.finish()?.into()))));
                }
                Poll::Pending if self.is_dirty => {
                    encoder.flush()?;
                    self.is_dirty = false;
                    return Poll::Ready(Some(Ok(encoder.taken())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Encoder {
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        match coding {
            Coding::Gzip { level } => Ok(Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(level)))),
            Coding::Zstd => {
                let mut encoder = ZstdEncoder::new(Vec::new(), ZSTD_LEVEL)?;
                for bound in ZSTD_BOUNDS {
                    encoder.set_parameter(bound)?;
                }
                Ok(Self::Zstd(encoder))
            }
        }
    }

    pub(crate) fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(data),
            Self::Zstd(encoder) => encoder.write_all(data),
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }

    fn taken(&mut self) -> Frame<Bytes> {
        Frame::data(std::mem::take(self.out()).into())
    }
}
