//! Jobs in memory: they end as the test said.

use async_trait::async_trait;
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage, OneOff, ProcessResult};
use domain::stacks::StackName;
use domain::{AppName, Image};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;

use super::{CannedBuild, FakeEngine};
use crate::{JobError, Jobs, SourceStream};

/// Source that is taken in.
const SOURCE_BYTES_MAX: u64 = 64 << 20;

#[async_trait]
impl Jobs for FakeEngine {
    async fn build(
        &self,
        job: &BuildJob,
        source: SourceStream,
        output: mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError> {
        drop(self.reachable("build")?);
        let mut archive = Vec::new();
        let read = source.take(SOURCE_BYTES_MAX).read_to_end(&mut archive).await;
        read.map_err(|error| JobError::Refused { reason: format!("read the source: {error}") })?;
        let canned = {
            let mut state = self.state();
            state.calls.builds.push((job.clone(), archive));
            state.build_results.pop_front()
        };
        let Some(CannedBuild { output: text, result }) = canned else {
            let reason = "the test did not say how this build ends: call will_build".to_owned();
            return Err(JobError::Refused { reason });
        };
        // A listener that went away does not stop a build.
        let _ = output.send(Bytes::from(text)).await;
        result.map_err(|exit_code| JobError::Failed { exit_code })
    }

    async fn rebase(&self, app: &AppName, image: &Image, _: &StackName) -> Result<Image, JobError> {
        let newer = self.reachable("rebase")?.rebased_digest.clone();
        let newer = newer.map(|digest| Image::Built { app: app.clone(), digest });
        Ok(newer.unwrap_or_else(|| image.clone()))
    }

    async fn run(&self, run: &OneOff) -> Result<ProcessResult, JobError> {
        let mut state = self.reachable("run")?;
        state.calls.runs.push(run.clone());
        let finished = state.run_results.pop_front();
        Ok(finished.unwrap_or(ProcessResult { exit_code: 0, output: String::new() }))
    }
}
