//! Shared parts of the promises: workloads of one app, and waiting with a bound.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::deployment::{
    BATCH_DEFAULT, Hooks, Limits, Probe, ProbeAction, Probes, Replicas, Workload, WorkloadId,
};
use domain::edge::EdgeSettings;
use domain::pods::{Pod, PodState};
use domain::routing::{AppRouting, Claim, Route, RouteOwner, RouteTable};
use domain::{AppName, ProcessType};
use testkit::wait_until;
use tokio::time::timeout;

use super::{AnyEngine, Subject};
use crate::{Engine, Outcome};

/// Port on which the program of the image serves.
pub const PORT: u16 = 8000;
/// Longest that anything here may take.
pub const TIMEOUT: Duration = Duration::from_secs(40);

/// The app of all promises.
pub fn app() -> AppName {
    AppName::parse("blog").expect("a good name")
}

/// Id of a workload of [`app`].
pub fn id(process: &str) -> WorkloadId {
    WorkloadId { app: app(), process: ProcessType::parse(process).expect("a good type") }
}

/// A web process of this release with one replica.
pub fn web(subject: &dyn Subject, release: u64) -> Workload {
    let env = [("PORT", PORT.to_string()), ("RELEASE", format!("release {release}"))];
    Workload {
        id: id("web"),
        release,
        image: subject.image(),
        user: None,
        command: None,
        args: None,
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        port: Some(PORT),
        replicas: Replicas::Fixed(1),
        limits: Limits::default(),
        tags: BTreeMap::new(),
        probes: Probes { liveness: None, readiness: Some(probe(ProbeAction::Serving { port: PORT })) },
        hooks: Hooks::default(),
        grace_seconds: 5,
        start_timeout_seconds: 20,
        batch: BATCH_DEFAULT,
        pull_policy: None,
        revisions_kept: None,
        knows_address: false,
    }
}

/// As [`web`], with so many replicas.
pub fn web_of(subject: &dyn Subject, release: u64, replicas: u32) -> Workload {
    Workload { replicas: Replicas::Fixed(replicas), ..web(subject, release) }
}

/// As [`web`], for a process that serves nothing.
pub fn worker(subject: &dyn Subject, release: u64) -> Workload {
    Workload { id: id("worker"), port: None, probes: Probes::default(), ..web(subject, release) }
}

/// The workload with one more variable.
pub fn with_env(mut workload: Workload, name: &str, value: &str) -> Workload {
    workload.env.insert(name.to_owned(), value.to_owned());
    workload
}

/// A probe every second that needs one success or failure.
pub fn probe(action: ProbeAction) -> Probe {
    Probe {
        action,
        initial_delay_seconds: 0,
        timeout_seconds: 2,
        period_seconds: 1,
        success_threshold: 1,
        failure_threshold: 1,
    }
}

/// A probe of the program's health page, which fails after `/sicken`.
pub fn health_check() -> Probe {
    probe(ProbeAction::HttpGet { port: PORT, path: "/health".to_owned(), headers: Vec::new() })
}

/// The app's own host goes to its web process.
pub fn routing() -> AppRouting {
    AppRouting {
        app: app(),
        target: Some(ProcessType::web()),
        domains: vec![Claim { host: "blog".to_owned(), since_ms: 1 }],
        edge: EdgeSettings::default(),
        routable: true,
        certificates: Vec::new(),
        services: Vec::new(),
        challenges: Vec::new(),
        owner: None,
    }
}

/// Applies a workload and waits until its rollout has ended.
pub async fn deploy(engine: &Arc<dyn AnyEngine>, workload: &Workload) -> Outcome {
    engine.apply(workload).await.expect("the desired state is recorded");
    outcome(engine, workload).await
}

/// Waits until the rollout of a workload has ended.
pub async fn outcome(engine: &Arc<dyn AnyEngine>, workload: &Workload) -> Outcome {
    let outcome = timeout(TIMEOUT, engine.outcome(&workload.id, workload.release)).await;
    outcome.expect("a rollout ends in time").expect("the engine is reachable")
}

/// Applies a workload whose rollout must succeed.
pub async fn deploy_well(engine: &Arc<dyn AnyEngine>, workload: &Workload) {
    assert_eq!(deploy(engine, workload).await, Outcome::Running);
}

/// Goes back to `good` after a failure, or to nothing, as the controller does.
pub async fn go_back(engine: &Arc<dyn AnyEngine>, failed: &WorkloadId, good: Option<&Workload>) {
    match good {
        Some(good) => deploy_well(engine, good).await,
        None => Engine::remove(&**engine, failed).await.expect("the engine is reachable"),
    }
}

/// Pods that are not leaving, by name.
pub async fn pods(engine: &Arc<dyn AnyEngine>) -> Vec<Pod> {
    let mut pods = engine.pods(&app()).await.expect("the engine is reachable");
    pods.retain(|pod| pod.state != PodState::Terminating);
    pods.sort_by(|one, other| one.name.cmp(&other.name));
    pods
}

/// Names of the pods that are not leaving, sorted.
pub async fn names(engine: &Arc<dyn AnyEngine>) -> Vec<String> {
    pods(engine).await.into_iter().map(|pod| pod.name).collect()
}

/// Waits until the app's pods are as they should be.
pub async fn pods_become(engine: &Arc<dyn AnyEngine>, is_right: impl Fn(&[Pod]) -> bool) -> Vec<Pod> {
    wait_until("the pods are right", TIMEOUT, async || match pods(engine).await {
        pods if is_right(&pods) => Ok(pods),
        pods => Err(pods),
    })
    .await
}

/// The app's route in a table.
pub fn route_in(table: &RouteTable) -> Option<&Route> {
    table.routes.iter().map(|route| &**route).find(|route| route.owner == RouteOwner::App(app()))
}

/// Waits until the app's route is as it should be, and gives it.
pub async fn route_becomes(
    engine: &Arc<dyn AnyEngine>,
    is_right: impl Fn(Option<&Route>) -> bool,
) -> Option<Route> {
    let mut tables = engine.watch();
    let found = timeout(TIMEOUT, tables.wait_for(|table| is_right(route_in(table)))).await;
    match found {
        Ok(table) => route_in(&table.expect("the engine lives")).cloned(),
        Err(_) => panic!("the route did not come right: {:?}", engine.watch().borrow()),
    }
}
