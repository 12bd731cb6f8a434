//! The route table of what runs in memory; nobody answers at its addresses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use domain::deployment::WorkloadId;
use domain::edge::AppRules;
use domain::pods::PodState;
use domain::routing::{Backend, Route, RouteTable, RouterReport};
use tokio::sync::watch;

use super::{FakeEngine, FakeState, PLATFORM_DOMAIN};
use crate::Routes;
use crate::route::route;

/// Reports that are remembered.
const REPORTS_MAX: usize = 1_000;

impl Routes for FakeEngine {
    fn watch(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.inner.table.subscribe()
    }

    fn report(&self, report: RouterReport) {
        let reports = &mut self.state().calls.reports;
        if reports.len() < REPORTS_MAX {
            reports.push(report);
        }
    }
}

pub(super) fn routes(state: &FakeState) -> Vec<Route> {
    let routes = state.routing.values().map(|routing| {
        route(routing, PLATFORM_DOMAIN, AppRules::default(), |process| {
            replicas(state, &WorkloadId { app: routing.app.clone(), process: process.clone() })
        })
    });
    routes.flatten().collect()
}

/// Number of wanted replicas, and those that are up.
fn replicas(state: &FakeState, id: &WorkloadId) -> (u32, Vec<Backend>) {
    let workload = state.apps.get(id);
    let wanted = workload.and_then(|workload| workload.desired.wanted.as_ref());
    let port = wanted.and_then(|wanted| wanted.port).unwrap_or(1);
    let pods = workload.iter().flat_map(|workload| &workload.pods);
    let backends = pods.filter(|pod| pod.state == PodState::Up).map(|pod| Backend {
        key: pod.name.clone(),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        release: pod.release,
    });
    (wanted.map_or(0, |wanted| wanted.replicas.at_least()), backends.collect())
}
