//! Tests of the bounds with a registry that has manifests alone, and an API server that has namespaces alone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use domain::Digest;
use domain::build::BuildKind;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::{KubernetesSettings, RegistryAccess, RegistryKey};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Manifests of caches by `<app>/cache/manifests/<tag>`.
type Manifests = Arc<Mutex<BTreeMap<String, String>>>;

/// Jobs of a platform with these apps. The registry has a cache of packs of each, and one of another platform's app.
async fn jobs(apps: &[&str], count_max: usize) -> (KubernetesJobs, Manifests) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let mut settings = KubernetesSettings::new("x");
    settings.registry.push_url = format!("http://{}", listener.local_addr().expect("it is bound"));
    settings.registry.access =
        RegistryAccess::External { username: "a".to_owned(), password: RegistryKey("b".to_owned()) };
    settings.build_caches.count_max = count_max;
    let stored = apps
        .iter()
        .chain(&["other"])
        .map(|app| (format!("{app}/cache/manifests/latest"), manifest(app, &[20])));
    let manifests = Manifests::new(Mutex::new(stored.collect()));
    tokio::spawn(serve(listener, Arc::clone(&manifests)));
    (KubernetesJobs::new(api_server(apps), settings, "builder".to_owned()), manifests)
}

fn manifest(name: &str, layers: &[u64]) -> String {
    let blob = |size: &u64| json!({ "mediaType": "x", "digest": Digest::of(b"x"), "size": size });
    let layers: Vec<_> = layers.iter().map(blob).collect();
    json!({ "schemaVersion": 2, "config": blob(&1), "layers": layers, "annotations": { "of": name } })
        .to_string()
}

/// Lists the namespaces of these apps, and one of another platform.
fn api_server(apps: &[&str]) -> Client {
    let item = |name: &str, labels: Value| {
        json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": { "name": name, "labels": labels },
        })
    };
    let of_app =
        |app: &&str| item(app, json!({ "heritage": "deis", "app": app, "deis.io/platform": "deis" }));
    let mut items: Vec<_> = apps.iter().map(of_app).collect();
    items.push(item("other", json!({ "heritage": "deis", "app": "other", "deis.io/platform": "others" })));
    let list = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {}, "items": items,
    });
    let list = Bytes::from(list.to_string());
    let answer = move |_: Request<Body>| {
        let response = Response::new(Body::from(list.to_vec()));
        async { Ok::<_, Infallible>(response) }
    };
    Client::new(tower::service_fn(answer), "x")
}

async fn serve(listener: TcpListener, manifests: Manifests) {
    loop {
        let (connection, _) = listener.accept().await.expect("a connection");
        answer(connection, &manifests).await.expect("the client reads");
    }
}

async fn answer(connection: TcpStream, manifests: &Manifests) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    let mut request = String::new();
    connection.read_line(&mut request).await?;
    let mut header = String::new();
    while connection.read_line(&mut header).await? > 2 {
        header.clear();
    }
    let mut words = request.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let answer = respond(method, path.trim_start_matches("/v2/"), manifests);
    let (status, body) = answer.map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\ncontent-type: {MANIFEST_TYPE}\r\n");
    connection.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).await
}

/// Manifests are read by tag and removed by digest.
fn respond(method: &str, path: &str, manifests: &Manifests) -> Option<String> {
    let mut manifests = manifests.lock().expect("nobody panics with it");
    if method != "DELETE" {
        return manifests.get(path).cloned();
    }
    let (prefix, digest) = path.rsplit_once('/')?;
    let is_it = |(name, content): &(&String, &String)| {
        name.starts_with(prefix) && Digest::of(content.as_bytes()).as_str() == digest
    };
    let name = manifests.iter().find(is_it)?.0.clone();
    manifests.remove(&name)
}

fn names(manifests: &Manifests) -> Vec<String> {
    let manifests = manifests.lock().expect("nobody panics with it");
    manifests.keys().map(|name| name.replace("/cache/manifests/", ":")).collect()
}

fn job(app: &str) -> BuildJob {
    BuildJob {
        app: AppName::parse(app).expect("a good name"),
        sha: "0123abcd".to_owned(),
        kind: BuildKind::Buildpack,
        stack: domain::stacks::StackName::parse("trixie").expect("a good name"),
        toolchains: std::collections::BTreeSet::new(),
        submodules: Vec::new(),
        env: BTreeMap::new(),
        cache: true,
        dockerfile: domain::build_plan::DockerfileOptions::default(),
        cnb: domain::build_plan::CnbOptions::default(),
        deadline_seconds: 240,
    }
}

#[tokio::test]
async fn after_a_build_the_surplus_is_removed_from_the_registry_but_nothing_of_a_running_build() {
    let (jobs, manifests) = jobs(&["blog", "shop", "wiki"], 1).await;
    let running = CacheUse::new(&jobs, &job("wiki"));

    drop(CacheUse::new(&jobs, &job("blog")));
    enforce(jobs.clone()).await;
    assert_eq!(names(&manifests), ["blog:latest", "other:latest", "wiki:latest"]);

    drop(running);
    enforce(jobs).await;
    let names = names(&manifests);
    assert!(names.len() == 2 && names.contains(&"other:latest".to_owned()), "{names:?}");
}

#[tokio::test]
async fn the_size_of_a_cache_is_the_sum_of_its_layers_and_a_missing_manifest_is_no_cache() {
    let (jobs, manifests) = jobs(&[], 9).await;
    let blog = AppName::parse("blog").expect("a good name");
    let layers = ("blog/cache/manifests/layers".to_owned(), manifest("blog", &[20, 300]));
    manifests.lock().expect("nobody panics with it").extend([layers]);

    let sizes = sizes(&cache_of(&jobs, &blog, Access::Pull)).await.expect("it answers");

    assert_eq!(sizes, CacheSizes::from([("layers", 320)]));
}

#[tokio::test]
async fn a_request_without_an_answer_ends_at_the_bound_and_does_not_hold_up_others() {
    let answered = AtomicBool::new(false);
    let request = async |is_answered: bool| {
        if !is_answered {
            std::future::pending::<()>().await;
        }
        answered.store(true, Ordering::Release);
        Ok(())
    };

    run_all("cannot measure", Duration::from_millis(20), vec![request(false), request(true)]).await;

    assert!(answered.load(Ordering::Acquire));
}
