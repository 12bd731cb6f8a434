use domain::deployment::{
    BATCH_DEFAULT, Hooks, Limits, Probe, ProbeAction, Probes, PullPolicy, Replicas, Workload, WorkloadId,
};
use domain::{AppName, Digest, Image, ProcessType};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;
use crate::{ClosedAddress, KubernetesSettings};

fn app() -> AppName {
    AppName::parse("blog").expect("a good name")
}

fn workload() -> Workload {
    let probe = Probe {
        action: ProbeAction::Serving { port: 5000 },
        initial_delay_seconds: 0,
        timeout_seconds: 5,
        period_seconds: 1,
        success_threshold: 1,
        failure_threshold: 1,
    };
    let env = [("PORT", "5000"), ("WORKFLOW_RELEASE_SUMMARY", "alice deployed 1a2b3c4")];
    Workload {
        id: WorkloadId { app: app(), process: ProcessType::web() },
        release: 7,
        image: Image::Built { app: app(), digest: Digest::of(b"image") },
        user: Some(2000),
        command: None,
        args: Some(vec!["web".to_owned()]),
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        port: Some(5000),
        replicas: Replicas::Fixed(2),
        limits: Limits {
            memory_limit_bytes: Some(128 << 20),
            cpu_request_millis: Some(500),
            ..Limits::default()
        },
        tags: [("disk".to_owned(), "ssd".to_owned())].into(),
        probes: Probes { liveness: None, readiness: Some(probe) },
        hooks: Hooks::default(),
        grace_seconds: 30,
        start_timeout_seconds: 120,
        batch: BATCH_DEFAULT,
        pull_policy: None,
        revisions_kept: None,
        knows_address: false,
    }
}

fn made(workload: &Workload, replicas: i32) -> k8s_openapi::api::apps::v1::Deployment {
    deployment::deployment(
        &KubernetesSettings::new("localhost"),
        workload,
        "127.0.0.1:5555/blog@sha256:12",
        replicas,
    )
}

#[test]
fn a_deployment_is_all_that_the_workload_says() {
    insta::assert_json_snapshot!("deployment", made(&workload(), 2));
}

#[test]
fn a_namespace_keeps_apps_apart() {
    let mut settings = KubernetesSettings::new("localhost");
    insta::assert_json_snapshot!("namespace", namespace::namespace(&settings, &app()));
    settings.closed_addresses = [("10.0.0.5/32", Some(5432)), ("10.0.0.7/32", None)]
        .map(|(cidr, port)| ClosedAddress { cidr: cidr.to_owned(), port })
        .to_vec();
    insta::assert_json_snapshot!("policy", policy::policy(&settings, &app(), Some("owners-hash")));
}

#[test]
fn a_change_of_scale_leaves_the_pods_as_they_are() {
    let two = made(&workload(), 2);
    let five = made(&Workload { replicas: Replicas::Fixed(5), ..workload() }, 5);

    let template =
        |deployment: k8s_openapi::api::apps::v1::Deployment| deployment.spec.map(|spec| spec.template);
    assert_eq!(template(two), template(five));
}

#[test]
fn no_more_replicas_start_at_a_time_than_the_batch_and_the_desired_state_allow() {
    let surge = |replicas: u32, batch: u32| {
        let workload = Workload { replicas: Replicas::Fixed(replicas), batch, ..workload() };
        let strategy = made(&workload, 1).spec.and_then(|spec| spec.strategy);
        strategy.and_then(|strategy| strategy.rolling_update).and_then(|update| update.max_surge)
    };

    let surges = [(6, 4), (6, 1), (6, 10), (0, 4)].map(|(replicas, batch)| surge(replicas, batch));

    assert_eq!(surges, [4, 1, 6, 1].map(|surge| Some(IntOrString::Int(surge))));
}

#[test]
fn an_image_that_may_be_root_keeps_the_capabilities_that_images_expect() {
    let spec =
        pod::spec(&KubernetesSettings::new("localhost"), &Workload { user: None, ..workload() }, "image");

    let rights = spec.containers[0].security_context.clone().expect("it is always there");
    let dropped = rights.capabilities.and_then(|capabilities| capabilities.drop).expect("some are dropped");
    assert!(!dropped.contains(&"ALL".to_owned()), "{dropped:?}");
    assert_eq!((rights.run_as_user, rights.run_as_non_root), (None, None));
    assert_eq!(rights.allow_privilege_escalation, Some(false));
}

#[test]
fn the_users_own_hook_takes_the_place_of_the_platforms_sleep() {
    let settings = KubernetesSettings::new("localhost");
    let hooks = Hooks { post_start: None, pre_stop: Some("say goodbye".to_owned()) };
    let hooked = Workload { hooks, ..workload() };
    let lifecycle = |workload: &Workload| {
        let spec = pod::spec(&settings, workload, "image");
        (
            spec.containers[0].lifecycle.clone().and_then(|it| it.pre_stop),
            spec.termination_grace_period_seconds,
        )
    };

    let (hook, grace) = lifecycle(&hooked);
    assert!(hook.is_some_and(|hook| hook.exec.is_some() && hook.sleep.is_none()));
    assert_eq!(grace, Some(30));
    // The sleep is not taken from the process's own time.
    let (sleep, grace) = lifecycle(&workload());
    assert!(sleep.is_some_and(|hook| hook.sleep.is_some()));
    assert_eq!(grace, Some(35));
    let (none, _) = lifecycle(&Workload { port: None, ..workload() });
    assert!(none.is_none(), "what serves nothing need not wait");
}

#[test]
fn replicas_that_follow_the_load_stay_where_the_load_has_brought_them() {
    let auto = Replicas::Auto { min: 2, max: 5, cpu_percent: 80 };

    let numbers = [None, Some(1), Some(4), Some(9)].map(|current| deployment::replicas(auto, current));

    assert_eq!(numbers, [2, 2, 4, 5]);
    assert!(autoscaler::autoscaler(&Workload { replicas: auto, ..workload() }).is_some());
    assert!(autoscaler::autoscaler(&workload()).is_none());
}

#[test]
fn a_budget_is_for_several_replicas() {
    assert!(budget::budget(&workload()).is_some());
    assert!(budget::budget(&Workload { replicas: Replicas::Fixed(1), ..workload() }).is_none());
}

#[test]
fn a_quota_that_is_none_is_refused_in_words() {
    let mut settings = KubernetesSettings::new("localhost");
    settings.default_quota = Some(serde_json::json!({ "hard": "much" }));

    let error = namespace::quota(&settings, &app()).expect_err("it is none");

    assert!(error.contains("the default quota"), "{error}");
}

#[test]
fn what_the_app_says_of_pulls_old_versions_and_its_address_is_in_its_objects() {
    let tuned = Workload {
        pull_policy: Some(PullPolicy::Always),
        revisions_kept: Some(3),
        knows_address: true,
        ..workload()
    };

    let plain = made(&workload(), 2).spec.expect("it has one");
    let tuned = made(&tuned, 2).spec.expect("it has one");

    insta::assert_json_snapshot!("tuned_container", tuned.template.spec.expect("it has one").containers[0]);
    assert_eq!((plain.revision_history_limit, tuned.revision_history_limit), (None, Some(3)));
}

#[test]
fn a_pod_waits_for_its_secrets_and_sees_nothing_of_them() {
    let spec = pod::spec(&KubernetesSettings::new("localhost"), &workload(), "image");

    let volume = &spec.volumes.expect("it has one")[0];
    assert_eq!(spec.containers[0].volume_mounts.as_ref().expect("it has one")[0].name, volume.name);
    let sources = volume.projected.as_ref().and_then(|it| it.sources.as_ref()).expect("it has some");
    let secrets: Vec<_> = sources.iter().map(|it| it.secret.as_ref().expect("all are")).collect();
    assert_eq!(
        secrets.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
        ["deis-registry", "blog-v7-env"]
    );
    for secret in secrets {
        let items = secret.items.as_ref().expect("not all of it");
        assert_eq!(items.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), [secrets::HERE]);
    }
}
