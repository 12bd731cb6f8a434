//! Promises under load, and the clients that make it: they follow the route table as a router does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::deployment::{Limits, Replicas, Workload};
use domain::pods::{PodSelection, PodState};
use domain::routing::{Backend, RouteTable, RouterReport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::probes::only_backend;
use super::setting::*;
use super::{AnyEngine, Subject};
use crate::Outcome;

const VISITORS: usize = 8;
/// Time that one request may take, the wait for a backend included.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Longest time until more load is seen: engines look every 15 s, at figures that may be as old.
const MEASURED_MAX: Duration = Duration::from_secs(180);

/// A single replica is replaced without a gap, three times.
pub async fn no_request_is_lost_in_rollouts_of_one_replica(subject: &dyn Subject) {
    roll_under_load(subject, 1).await;
}

/// Two replicas are replaced without a gap, three times.
pub async fn no_request_is_lost_in_rollouts_of_two_replicas(subject: &dyn Subject) {
    roll_under_load(subject, 2).await;
}

async fn roll_under_load(subject: &dyn Subject, replicas: u32) {
    let engine = subject.engine();
    let busy = |release| with_env(web_of(subject, release, replicas), "WORK_MS", "20");
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &busy(2)).await;
    let load = Load::begin(&engine);

    for release in 3..6 {
        deploy_well(&engine, &busy(release)).await;
    }

    load.end_without_loss().await;
}

/// A restart of all pods, scaling up and scaling down lose no request.
pub async fn no_request_is_lost_in_restarts_and_scaling(subject: &dyn Subject) {
    let engine = subject.engine();
    let busy = |replicas| with_env(web_of(subject, 2, replicas), "WORK_MS", "20");
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &busy(1)).await;
    let load = Load::begin(&engine);

    engine.restart(&app(), &PodSelection::All).await.expect("reachable");
    deploy_well(&engine, &busy(3)).await;
    deploy_well(&engine, &busy(1)).await;

    load.end_without_loss().await;
}

/// The old release serves while the new one starts and fails.
pub async fn a_failed_rollout_loses_no_request(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    deploy_well(&engine, &web(subject, 2)).await;
    let load = Load::begin(&engine);

    let mut broken = web(subject, 3);
    subject.breaks(&mut broken);
    let outcome = deploy(&engine, &broken).await;

    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    load.end_without_loss().await;
}

/// Under load the autoscaler adds a replica up to `max`, without replacing the first.
pub async fn replicas_follow_the_load_up_to_the_maximum(subject: &dyn Subject) {
    let engine = subject.engine();
    engine.route(&routing()).await.expect("reachable");
    let limits = Limits { cpu_request_millis: Some(50), ..Limits::default() };
    let replicas = Replicas::Auto { min: 1, max: 2, cpu_percent: 50 };
    deploy_well(&engine, &Workload { limits, replicas, ..web(subject, 2) }).await;
    let first = names(&engine).await;
    let backend = only_backend(&engine).await;

    let busy = async {
        while names(&engine).await.len() < 2 {
            get(backend.address, "/burn").await.expect("an answer");
        }
    };
    timeout(MEASURED_MAX, busy).await.expect("a second replica in time");

    let all = pods_become(&engine, |pods| pods.iter().all(|pod| pod.state == PodState::Up)).await;
    assert_eq!((first.len(), all.len()), (1, 2));
    assert!(all.iter().any(|pod| pod.name == first[0]), "{first:?} {all:?}");
}

/// The body of the answer to one request on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: blog\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(ANSWER_MAX, ask).await.map_err(|_| "no answer in time".to_owned())?;
    let answer = answer.map_err(|error| format!("{address}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(format!("{address}: {answer:?}")),
    }
}

/// Clients that send requests until they are stopped.
struct Load {
    router: Arc<FakeRouter>,
    visitors: JoinSet<Vec<Result<String, String>>>,
}

/// The part of a router that draining sees: the table in use and the requests under way.
struct FakeRouter {
    engine: Arc<dyn AnyEngine>,
    state: Mutex<(Arc<RouteTable>, BTreeMap<String, u64>)>,
    is_over: AtomicBool,
}

impl Load {
    fn begin(engine: &Arc<dyn AnyEngine>) -> Self {
        let table = Arc::clone(&engine.watch().borrow());
        let router = Arc::new(FakeRouter {
            engine: Arc::clone(engine),
            state: Mutex::new((table, BTreeMap::new())),
            is_over: AtomicBool::new(false),
        });
        tokio::spawn(Arc::clone(&router).follow());
        let visitors = (0..VISITORS).map(|_| Arc::clone(&router).send_requests()).collect();
        Self { router, visitors }
    }

    async fn end_without_loss(self) {
        self.router.is_over.store(true, Ordering::Relaxed);
        let answers = self.visitors.join_all().await.concat();
        let lost: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(answers.len() > 100, "only {} requests were sent", answers.len());
        assert!(lost.is_empty(), "lost {} of {}: {lost:?}", lost.len(), answers.len());
    }
}

impl FakeRouter {
    /// Takes over each table and reports it.
    async fn follow(self: Arc<Self>) {
        let mut tables = self.engine.watch();
        while !self.is_over.load(Ordering::Relaxed) {
            let report = {
                let mut state = self.state.lock().expect("nobody panics with it");
                state.0 = Arc::clone(&tables.borrow_and_update());
                RouterReport { table_version: state.0.version, in_flight: state.1.clone() }
            };
            self.engine.report(report);
            let _ = timeout(Duration::from_millis(20), tables.changed()).await;
        }
    }

    async fn send_requests(self: Arc<Self>) -> Vec<Result<String, String>> {
        let mut answers = Vec::new();
        while !self.is_over.load(Ordering::Relaxed) {
            let answer = match timeout(ANSWER_MAX, self.choose()).await {
                Ok(backend) => {
                    let answer = get(backend.address, "/").await;
                    self.release(&backend.key);
                    answer
                }
                Err(_) => Err("no backend in time".to_owned()),
            };
            answers.push(answer);
        }
        answers
    }

    async fn choose(&self) -> Backend {
        loop {
            if let Some(backend) = self.try_choose() {
                return backend;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn try_choose(&self) -> Option<Backend> {
        let mut state = self.state.lock().expect("nobody panics with it");
        let (table, in_flight) = &mut *state;
        let backends = &route_in(table)?.backends;
        let backend = backends.get(rand::random_range(0..backends.len().max(1)))?;
        *in_flight.entry(backend.key.clone()).or_insert(0) += 1;
        Some(backend.clone())
    }

    fn release(&self, key: &str) {
        let mut state = self.state.lock().expect("nobody panics with it");
        state.1.entry(key.to_owned()).and_modify(|count| *count -= 1);
    }
}
