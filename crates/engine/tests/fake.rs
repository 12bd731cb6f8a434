//! The engine in memory is held to the promises that need no processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::build::ProcessResult;
use domain::crashes::Exit;
use domain::deployment::Workload;
use domain::{Digest, Image};
use engine::ResolvedImage;
use engine::conformance::{AnyEngine, Subject};
use engine::fake::FakeEngine;
use engine::rollout::failure_text::{Evidence, told};
use engine::rollout::judge::{CRASHES_MAX, FailureReason};

const REFERENCE: &str = "example/app:latest";

struct World {
    engine: FakeEngine,
}

engine::promises!(every, world);
engine::promises!(copies, world);

async fn world() -> World {
    let engine = FakeEngine::new();
    engine.label_node(BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]));
    let world = World { engine };
    let resolved = ResolvedImage { image: world.image(), ports: vec![8000], user: String::new() };
    world.engine.register_image(REFERENCE, resolved);
    world
}

impl Subject for World {
    fn engine(&self) -> Arc<dyn AnyEngine> {
        Arc::new(self.engine.clone())
    }

    fn image(&self) -> Image {
        Image::External { reference: REFERENCE.to_owned(), digest: Digest::of(b"app") }
    }

    fn crashes(&self, workload: &mut Workload, times: u64) {
        if times >= CRASHES_MAX {
            let exit = Exit { code: 3, is_out_of_memory: false };
            let why = FailureReason::Crashed { exit, times: CRASHES_MAX };
            let output = b"cannot start: no such table\n".to_vec();
            let reason = told(workload, &why, Evidence { output, ..Evidence::default() });
            self.engine.fail_next_rollout(&workload.id.app, &reason);
        }
    }

    fn stalls(&self, workload: &mut Workload) {
        self.engine.hang(&workload.id.app);
    }

    fn resumes(&self) {
        self.engine.resume(&domain::AppName::parse("blog").expect("a good name"));
    }

    fn pids_max(&self) -> usize {
        0
    }

    fn will_finish(&self, finished: &ProcessResult) {
        self.engine.will_finish(finished.clone());
    }
}
