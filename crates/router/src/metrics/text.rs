//! Prometheus' text format: each metric with its help and type, then a line for each app.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use domain::AppName;
use domain::routing::RouteOwner;

use super::{AppMetrics, BUCKETS_MS, Counter, ReleaseSum, WorkerMetrics};

/// Labels of what belongs to no app with counters of its own; no app can have such names.
const NOBODY: &str = "-";
const OTHERS: &str = "*";

type Sums = BTreeMap<String, AppMetrics>;
/// Writes the lines of one app.
type WriteLines = fn(&mut String, &str, &str, &AppMetrics);

/// Name, kind, help and lines of each metric.
const METRICS: [(&str, &str, &str, WriteLines); 6] = [
    ("workflow_router_requests_total", "counter", "Requests answered, by class of status.", by_class),
    (
        "workflow_router_request_seconds",
        "histogram",
        "Time from a request to the head of its answer.",
        histogram,
    ),
    (
        "workflow_router_received_bytes_total",
        "counter",
        "Bytes of bodies from visitors.",
        |text, name, app, it| {
            line(text, name, app, it.bytes_in.get());
        },
    ),
    (
        "workflow_router_sent_bytes_total",
        "counter",
        "Bytes of bodies from the app.",
        |text, name, app, it| {
            line(text, name, app, it.bytes_out.get());
        },
    ),
    (
        "workflow_router_retries_total",
        "counter",
        "Attempts that reached no replica.",
        |text, name, app, it| {
            line(text, name, app, it.retries.get());
        },
    ),
    (
        "workflow_router_under_way",
        "gauge",
        "Requests and switched connections in hand.",
        |text, name, app, it| {
            line(text, name, app, it.under_way.get());
        },
    ),
];

pub(super) fn text(
    workers: &[Arc<WorkerMetrics>],
    releases: &BTreeMap<(AppName, u64), ReleaseSum>,
) -> String {
    let sums = sums(workers);
    let mut text = String::new();
    for (name, kind, help, lines) in METRICS {
        head(&mut text, name, kind, help);
        sums.iter().for_each(|(app, metrics)| lines(&mut text, name, app, metrics));
    }
    by_release(&mut text, releases);
    let connections: u64 = workers.iter().map(|worker| worker.connections.get()).sum();
    let name = "workflow_router_connections";
    head(&mut text, name, "gauge", "Open connections of visitors.");
    push(&mut text, format_args!("{name} {connections}"));
    by_path(&mut text, workers);
    text
}

fn by_path(text: &mut String, workers: &[Arc<WorkerMetrics>]) {
    let name = "workflow_router_path_requests_total";
    head(text, name, "counter", "Requests by the path that they took through the router.");
    let sum = |of: fn(&WorkerMetrics) -> &Counter| workers.iter().map(|it| of(it).get()).sum::<u64>();
    for (path, count) in [("fast", sum(|it| &it.on_fast_path)), ("slow", sum(|it| &it.on_slow_path))] {
        push(text, format_args!("{name}{{path=\"{path}\"}} {count}"));
    }
}

fn by_release(text: &mut String, releases: &BTreeMap<(AppName, u64), ReleaseSum>) {
    let name = "workflow_router_release_requests_total";
    head(text, name, "counter", "Requests that a release answered, and that it lost.");
    for ((app, release), sum) in releases {
        for (end, count) in [("served", sum.served), ("lost", sum.lost)] {
            push(text, format_args!("{name}{{app=\"{app}\",release=\"v{release}\",end=\"{end}\"}} {count}"));
        }
    }
    gauge_by_release(
        text,
        releases,
        ("workflow_router_release_under_way", "Requests that a release has in hand."),
        |sum| sum.under_way,
    );
    gauge_by_release(
        text,
        releases,
        (
            "workflow_router_release_under_way_at_roll",
            "Requests that a release had in hand when it left the routes.",
        ),
        |sum| sum.under_way_at_roll,
    );
}

fn gauge_by_release(
    text: &mut String,
    releases: &BTreeMap<(AppName, u64), ReleaseSum>,
    (name, help): (&str, &str),
    value: fn(&ReleaseSum) -> u64,
) {
    head(text, name, "gauge", help);
    for ((app, release), sum) in releases {
        push(text, format_args!("{name}{{app=\"{app}\",release=\"v{release}\"}} {}", value(sum)));
    }
}

fn sums(workers: &[Arc<WorkerMetrics>]) -> Sums {
    let mut sums = Sums::new();
    for worker in workers {
        sums.entry(NOBODY.to_owned()).or_default().add(&worker.nobody);
        sums.entry(OTHERS.to_owned()).or_default().add(&worker.others);
        for (owner, metrics) in worker.lock().iter() {
            let name = match owner {
                RouteOwner::Platform(name) => name,
                RouteOwner::App(name) => name.as_str(),
            };
            sums.entry(name.to_owned()).or_default().add(metrics);
        }
    }
    sums
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    push(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(text: &mut String, name: &str, app: &str, value: u64) {
    push(text, format_args!("{name}{{app=\"{app}\"}} {value}"));
}

fn by_class(text: &mut String, name: &str, app: &str, metrics: &AppMetrics) {
    for (class, count) in (1..).zip(&metrics.answers) {
        push(text, format_args!("{name}{{app=\"{app}\",class=\"{class}xx\"}} {}", count.get()));
    }
}

fn histogram(text: &mut String, name: &str, app: &str, metrics: &AppMetrics) {
    let bounds = BUCKETS_MS.iter().map(|bound| seconds(*bound * 1_000)).chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (bound, bucket) in bounds.zip(&metrics.latency) {
        count += bucket.get();
        push(text, format_args!("{name}_bucket{{app=\"{app}\",le=\"{bound}\"}} {count}"));
    }
    push(text, format_args!("{name}_sum{{app=\"{app}\"}} {}", seconds(metrics.latency_us.get())));
    push(text, format_args!("{name}_count{{app=\"{app}\"}} {count}"));
}

fn seconds(microseconds: u64) -> String {
    (microseconds as f64 / 1e6).to_string()
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn what_workers_counted_is_added_up_and_buckets_hold_those_below() {
        let workers: [Arc<WorkerMetrics>; 2] = Default::default();
        let deis = RouteOwner::Platform("deis".to_owned());
        workers[0].of(&deis).answered(StatusCode::OK, Duration::from_millis(5));
        workers[1].of(&deis).answered(StatusCode::OK, Duration::from_millis(30));

        let text = text(&workers, &BTreeMap::new());

        for wanted in [
            "workflow_router_requests_total{app=\"deis\",class=\"2xx\"} 2",
            "workflow_router_request_seconds_bucket{app=\"deis\",le=\"0.005\"} 1",
            "workflow_router_request_seconds_bucket{app=\"deis\",le=\"0.05\"} 2",
            "workflow_router_request_seconds_bucket{app=\"deis\",le=\"+Inf\"} 2",
            "workflow_router_request_seconds_sum{app=\"deis\"} 0.035",
            "workflow_router_requests_total{app=\"-\",class=\"4xx\"} 0",
        ] {
            assert!(text.lines().any(|line| line == wanted), "`{wanted}` is missing in\n{text}");
        }
    }

    #[test]
    fn an_app_that_left_the_table_is_forgotten() {
        let worker = WorkerMetrics::default();
        worker.of(&RouteOwner::Platform("deis".to_owned()));

        worker.keep_only([].iter());

        assert!(worker.lock().is_empty());
    }
}
