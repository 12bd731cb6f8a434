//! A fake engine: builds that wait until a test releases them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage, OneOff, ProcessResult};
use domain::stacks::StackName;
use domain::{AppName, Digest, Image};
use engine::{EngineError, JobError, Jobs, SourceStream};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, watch};

/// A handle; clones share everything.
#[derive(Clone)]
pub struct TestEngine {
    state: Arc<Mutex<State>>,
    held: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
struct State {
    results: VecDeque<JobError>,
    built: Vec<(BuildJob, Vec<u8>)>,
}

impl TestEngine {
    pub fn new() -> Self {
        Self { state: Arc::default(), held: Arc::new(watch::Sender::new(false)) }
    }

    pub fn fail_next_build(&self, error: JobError) {
        self.state().results.push_back(error);
    }

    pub fn fail_unreachable(&self) {
        let source = "no socket".into();
        self.fail_next_build(JobError::Engine(EngineError::Unreachable { what: "build".to_owned(), source }));
    }

    pub fn hold_builds(&self) {
        self.held.send_replace(true);
    }

    pub fn let_builds_go(&self) {
        self.held.send_replace(false);
    }

    /// The builds that have begun, each with the archive that came with it.
    pub fn built(&self) -> Vec<(BuildJob, Vec<u8>)> {
        self.state().built.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

#[async_trait]
impl Jobs for TestEngine {
    async fn build(
        &self,
        job: &BuildJob,
        mut source: SourceStream,
        output: mpsc::Sender<Bytes>,
    ) -> Result<BuiltImage, JobError> {
        let mut archive = Vec::new();
        let read = source.read_to_end(&mut archive).await;
        read.map_err(|error| JobError::Refused { reason: format!("cannot read the source: {error}") })?;
        let digest = Digest::of(&archive);
        self.state().built.push((job.clone(), archive));
        for piece in ["-----> Buil", "ding\n"] {
            let _ = output.send(Bytes::from(piece)).await;
        }
        let _ = self.held.subscribe().wait_for(|held| !held).await;
        match self.state().results.pop_front() {
            Some(error) => Err(error),
            None => Ok(BuiltImage {
                image: Image::Built { app: job.app.clone(), digest },
                ports: vec![5000],
                user: String::new(),
                process_types: BTreeMap::new(),
            }),
        }
    }

    async fn rebase(&self, _: &AppName, _: &Image, _: &StackName) -> Result<Image, JobError> {
        Err(JobError::Refused { reason: "not of interest here".to_owned() })
    }

    async fn run(&self, _run: &OneOff) -> Result<ProcessResult, JobError> {
        Err(JobError::Refused { reason: "not of interest here".to_owned() })
    }
}
