//! A body that is compressed on its way. What the app has sent so far is passed on whenever it pauses, so that
//! streams stay streams.

use std::io::Write as _;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::Frame;

use crate::body::{BodyError, Streamed};

/// Passed on at the latest when so much has come together.
const CHUNK_BYTES: usize = 16 << 10;

pub(crate) struct Gzipped {
    body: Streamed,
    /// `None` after the end of the data.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Something went in that did not come out yet.
    is_dirty: bool,
    /// The app's trailers, which come behind the end of the data.
    trailers: Option<Frame<Bytes>>,
}

impl Gzipped {
    pub(crate) fn new(body: Streamed, level: u32) -> Self {
        let encoder = Some(GzEncoder::new(Vec::new(), Compression::new(level)));
        Self { body, encoder, is_dirty: false, trailers: None }
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
                        if encoder.get_ref().len() >= CHUNK_BYTES {
                            return Poll::Ready(Some(Ok(taken(encoder))));
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
                    return Poll::Ready(Some(Ok(taken(encoder))));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn taken(encoder: &mut GzEncoder<Vec<u8>>) -> Frame<Bytes> {
    Frame::data(std::mem::take(encoder.get_mut()).into())
}
