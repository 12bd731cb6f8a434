//! Output of a step of a build. A step that has succeeded marks the end of its output, so that nobody waits until the
//! node has noticed the end of its container, for which it looks once a second.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use domain::build_steps::OUTPUT_END;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::output::{self, OutputSink, TRIES_MAX, TakesOutput};

/// Markers of a step: on its standard output and on its standard error.
const MARKERS: usize = 2;
/// Pause before a stream that broke is resumed.
const RESUME_AFTER: Duration = Duration::from_millis(500);
/// Tries to read the rest of the output of a container that has ended.
const REST_TRIES_MAX: usize = 3;

/// Follows the output of one container.
pub struct StepOutput<'a> {
    pods: &'a Api<Pod>,
    pod: &'a str,
    container: &'static str,
    sink: MarkedSink<'a>,
    seen_bytes: u64,
}

impl<'a> StepOutput<'a> {
    pub fn new(pods: &'a Api<Pod>, pod: &'a str, container: &'static str, sink: OutputSink<'a>) -> Self {
        let sink = MarkedSink { sink, end: OutputEnd::default() };
        Self { pods, pod, container, sink, seen_bytes: 0 }
    }

    /// Passes on the output of a container that has begun, until its marked end. Without that it never returns: the
    /// caller watches the pod. May be dropped at any time; [`Self::rest`] then goes on at the same position.
    pub async fn follow(&mut self) {
        for _ in 0..TRIES_MAX {
            if let ControlFlow::Break(()) = self.read(true).await {
                return;
            }
            tokio::time::sleep(RESUME_AFTER).await;
        }
        std::future::pending::<()>().await;
    }

    /// Passes on what is left when the container has ended.
    pub async fn rest(&mut self) {
        for _ in 0..REST_TRIES_MAX {
            if let ControlFlow::Break(()) = self.read(false).await {
                return;
            }
        }
    }

    /// Breaks at the marked end, and where there is no more to come.
    async fn read(&mut self, follows: bool) -> ControlFlow<()> {
        let Self { pods, pod, container, sink, seen_bytes } = self;
        sink.flow()?;
        match output::read(pods, pod, container, follows, seen_bytes, sink).await {
            Ok(ControlFlow::Continue(())) if follows => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(()),
            Err(error) => {
                tracing::debug!(pod, container, %error, "the stream of a container's output broke");
                ControlFlow::Continue(())
            }
        }
    }
}

/// A sink that gets output up to its marked end.
struct MarkedSink<'a> {
    sink: OutputSink<'a>,
    end: OutputEnd,
}

impl MarkedSink<'_> {
    fn flow(&self) -> ControlFlow<()> {
        if self.end.count() >= MARKERS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl TakesOutput for MarkedSink<'_> {
    async fn take(&mut self, piece: &[u8]) -> ControlFlow<()> {
        let room = self.sink.room().await;
        room.put(Bytes::from(self.end.take(piece)));
        self.flow()
    }
}

/// Finds the markers in a stream of output, and takes them out.
#[derive(Default)]
pub struct OutputEnd {
    /// The beginning of what may be a marker.
    held: Vec<u8>,
    count: usize,
}

impl OutputEnd {
    /// Takes a piece and gives back what of it is to be shown now.
    pub fn take(&mut self, chunk: &[u8]) -> Vec<u8> {
        let marker = OUTPUT_END.as_bytes();
        self.held.extend_from_slice(chunk);
        let mut shown = Vec::new();
        while let Some(at) = self.held.windows(marker.len()).position(|part| part == marker) {
            shown.extend(self.held.drain(..at));
            self.held.drain(..marker.len());
            self.count += 1;
        }
        let begun = (1..marker.len()).rev().find(|length| self.held.ends_with(&marker[..*length]));
        let certain = self.held.len() - begun.unwrap_or(0);
        shown.extend(self.held.drain(..certain));
        shown
    }

    /// Markers so far.
    pub fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_across_pieces_and_not_shown() {
        let mut end = OutputEnd::default();
        let text = format!("one\n{OUTPUT_END}late\n{OUTPUT_END}");
        let shown: Vec<u8> = text.as_bytes().chunks(5).flat_map(|piece| end.take(piece)).collect();

        assert_eq!((String::from_utf8_lossy(&shown).as_ref(), end.count()), ("one\nlate\n", 2));
    }

    #[test]
    fn what_only_begins_like_a_marker_is_shown() {
        let mut end = OutputEnd::default();

        assert_eq!(end.take(b"a\x1edeis"), b"a");
        assert_eq!((end.take(b"t\n"), end.count()), (b"\x1edeist\n".to_vec(), 0));
    }
}
