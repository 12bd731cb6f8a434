//! Privileges of apps in the cluster, their visibility, and their removal.

use domain::deployment::Replicas;
use domain::deployment::Workload;
use domain::terminal::TerminalSize;
use engine::conformance::{Subject as _, TerminalUser, setting::*, sitting};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};
use testkit::wait_until;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_without_needless_rights_and_their_values_are_elsewhere() {
    let world = World::policed().await;
    let secret = with_env(web(&world, 2), "PASSWORD", "correct horse battery");
    let desired = Workload { user: Some(2000), ..secret };
    deploy_well(&world.engine(), &desired).await;

    let pods = world.objects::<Pod>().await;
    let spec = serde_json::to_value(&pods[0].spec).expect("JSON");

    let container = &spec["containers"][0];
    let rights = &container["securityContext"];
    assert_eq!(spec["automountServiceAccountToken"], false);
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!((&rights["runAsUser"], &rights["runAsNonRoot"]), (&2000.into(), &true.into()));
    assert_eq!(rights["allowPrivilegeEscalation"], false);
    assert_eq!(rights["capabilities"]["drop"][0], "ALL");
    assert!(!serde_json::to_string(&pods[0]).expect("JSON").contains("battery"));
    assert_eq!(world.objects::<NetworkPolicy>().await.len(), 1);
    let namespaces = Api::<Namespace>::all(world.client.clone());
    let labels =
        namespaces.get(&world.namespace()).await.expect("there").metadata.labels.expect("it has some");
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "baseline");
    assert_eq!(labels["deis.io/platform"], world.settings.platform_namespace);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_app_leaves_no_namespace() {
    let world = World::new().await;
    world.engine().route(&routing()).await.expect("reachable");
    deploy_well(&world.engine(), &web_of(&world, 2, 2)).await;

    world.engine().remove_app(&app()).await.expect("reachable");

    let namespaces = Api::<Namespace>::all(world.client.clone());
    assert!(namespaces.get_opt(&world.namespace()).await.expect("reachable").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_others_is_neither_used_nor_removed() {
    let world = World::new().await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    let metadata = ObjectMeta { name: Some(world.namespace()), ..ObjectMeta::default() };
    let foreign = Namespace { metadata, ..Namespace::default() };
    namespaces.create(&PostParams::default(), &foreign).await.expect("it is made");

    let applied = world.engine().apply(&web(&world, 2)).await;
    let routed = world.engine().route(&routing()).await;
    let ran = world.engine().run(&sitting(&world)).await;
    let refusal = world.engine().name_refusal(&app()).await.expect("reachable");
    world.engine().remove_app(&app()).await.expect("there is no such app");

    let refused = "is there and not the platform's";
    for said in [format!("{applied:?}"), format!("{routed:?}"), format!("{ran:?}"), format!("{refusal:?}")] {
        assert!(said.contains(refused), "{said}");
    }
    let left = namespaces.get(&world.namespace()).await.expect("it is still there");
    assert_eq!(left.metadata.deletion_timestamp, None);
    let labels = left.metadata.labels.unwrap_or_default();
    assert!(!labels.contains_key("heritage"), "{labels:?}");
    namespaces.delete(&world.namespace(), &Default::default()).await.expect("it is ours after all");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_follow_the_load_begin_with_those_that_run() {
    let world = World::new().await;
    deploy_well(&world.engine(), &web_of(&world, 2, 3)).await;
    let before = names(&world.engine()).await;
    assert_eq!(world.objects::<PodDisruptionBudget>().await.len(), 1);

    let auto = Replicas::Auto { min: 1, max: 5, cpu_percent: 80 };
    deploy_well(&world.engine(), &Workload { replicas: auto, ..web(&world, 2) }).await;

    let scalers = world.objects::<HorizontalPodAutoscaler>().await;
    let spec = scalers[0].spec.as_ref().expect("it has one");
    assert_eq!((spec.min_replicas, spec.max_replicas), (Some(1), 5));
    assert_eq!(names(&world.engine()).await, before);

    deploy_well(&world.engine(), &web_of(&world, 2, 1)).await;
    assert_eq!(world.objects::<HorizontalPodAutoscaler>().await.len(), 0);
    assert_eq!(world.objects::<PodDisruptionBudget>().await.len(), 0);
    assert_eq!(names(&world.engine()).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_goes_with_the_last_replica_set_that_could_use_it() {
    let mut world = World::new().await;
    world.settings.pre_stop_sleep_seconds = 0;
    world.start().await;
    let env = ListParams::default().labels("type=env");
    let secrets = Api::<Secret>::namespaced(world.client.clone(), &world.namespace());
    // Kubernetes keeps ten old ReplicaSets.
    for release in 2..15 {
        deploy_well(&world.engine(), &web(&world, release)).await;
    }

    let left = async || secrets.list_metadata(&env).await.expect("reachable").items.len();
    wait_until("old environments go", TIMEOUT, async || left().await <= 12).await;
    assert!(left().await >= 11, "those that can still be needed stay");
    assert_eq!(world.objects::<Deployment>().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_session_leaves_neither_pod_nor_secret() {
    let world = World::new().await;
    let engine = world.engine();
    let one_off = sitting(&world);
    let size = TerminalSize { columns: 80, rows: 24 };
    let mut typist = TerminalUser::new(engine.open(one_off.clone(), Some(size)));
    typist.types("hello").await;
    typist.sees("got: hello").await;

    drop(typist);

    let is_its = |name: Option<String>| name.is_some_and(|name| name.starts_with(&one_off.name));
    let is_gone = async || {
        !world.objects::<Pod>().await.into_iter().any(|pod| is_its(pod.metadata.name))
            && !world.objects::<Secret>().await.into_iter().any(|secret| is_its(secret.metadata.name))
    };
    wait_until("it is removed", TIMEOUT, is_gone).await;
}
