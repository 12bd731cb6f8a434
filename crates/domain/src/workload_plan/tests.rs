//! Tests of `workload_plan`.

use serde_json::json;

use super::*;
use crate::Image;
use crate::build::Origin;
use crate::config::{ConfigPatch, Texts};
use crate::settings::RunSettings;
use crate::structure::tests::build;

struct Release {
    app: AppName,
    config: Config,
    build: Build,
    run: RunSettings,
}

impl Release {
    fn new(build: Build, config: &serde_json::Value) -> Self {
        let patch = ConfigPatch::parse(config.as_object().expect("an object")).expect("a good patch");
        let config = Config::default().patched(&patch, &Texts::new()).expect("a good config");
        Self { app: AppName::parse("blog").expect("a name"), config, build, run: RunSettings::default() }
    }

    fn plan(&self) -> WorkloadPlan<'_> {
        WorkloadPlan {
            app: &self.app,
            version: 7,
            summary: "alice deployed 1a2b3c4",
            created: Timestamp::from_second(1_700_000_000).expect("a moment"),
            config: &self.config,
            build: &self.build,
            run: &self.run,
            settings: PlanSettings {
                deploy_timeout_seconds: 120,
                grace_seconds: 30,
                deploy_batches: 0,
                revisions_kept: None,
                expose_addresses: false,
                default_memory_bytes: None,
            },
        }
    }

    fn workload(&self, process: &str) -> Workload {
        let process = ProcessType::parse(process).expect("a type");
        self.plan().workload(&process, 1).expect("a workload")
    }
}

fn of(origin: Origin, procfile: &[&str]) -> Release {
    Release::new(build(origin, procfile), &json!({}))
}

fn words(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn slugs_are_started_by_type_and_images_by_a_shell_or_as_they_are() {
    let shell = words(&["/bin/bash", "-c"]);
    for (release, process, command, args) in [
        (of(Origin::Buildpack, &["web"]), "web", None, words(&["web"])),
        (of(Origin::Buildpack, &[]), "web", None, words(&["web"])),
        (of(Origin::Image, &[]), "cmd", None, None),
        (of(Origin::Image, &["cmd"]), "cmd", None, words(&["run-cmd"])),
        (of(Origin::Image, &["worker"]), "worker", shell.clone(), words(&["run-worker"])),
        (of(Origin::Dockerfile, &["web"]), "web", shell.clone(), words(&["run-web"])),
    ] {
        let workload = release.workload(process);
        assert_eq!((workload.command, workload.args), (command, args), "{process} of {:?}", release.build);
    }
}

#[test]
fn the_command_of_a_session_is_whole_whatever_the_entrypoint() {
    let session = |origin| of(origin, &["web"]).plan().session("blog-run-abcde".to_owned(), "echo 'a b'");
    let slug = ["/usr/bin/slug", "run", "--", "echo 'a b'"].map(str::to_owned).to_vec();
    let image = ["/bin/bash", "-c", "echo 'a b'"].map(str::to_owned).to_vec();

    assert_eq!(session(Origin::Buildpack).command, Some(slug.clone()));
    assert_eq!(session(Origin::Dockerfile).command, Some(image));
    assert_eq!((session(Origin::Image).args, session(Origin::Image).deadline_seconds), (None, 8 * 60 * 60));
    assert_eq!(inside(&of(Origin::Buildpack, &[]).build, "echo 'a b'"), slug);
    assert_eq!(inside(&of(Origin::Image, &[]).build, "ls").first().map(String::as_str), Some("/bin/sh"));
}

#[test]
fn an_image_of_buildpacks_has_a_program_for_each_type_and_a_launcher_for_other_commands() {
    let mut release = of(Origin::Cnb, &["web", "worker"]);
    release.build.procfile.insert(ProcessType::web(), String::new());
    let own = release.build.launch.clone().of_image_process(&ProcessType::web());
    release.build.launches.insert(ProcessType::web(), own);
    let launcher = words(&["/cnb/lifecycle/launcher"]);

    let [web, worker] = ["web", "worker"].map(|process| release.workload(process));
    assert_eq!((web.command, web.args, web.port), (words(&["/cnb/process/web"]), None, Some(5000)));
    assert_eq!((worker.command, worker.args), (launcher.clone(), words(&["run-worker"])));
    let run = release.plan().one_off("blog-run-abcde".to_owned(), "echo 'a b'");
    assert_eq!((run.command, run.args, run.user), (launcher, words(&["echo 'a b'"]), None));
    assert_eq!(inside(&release.build, "echo 'a b'"), ["/cnb/lifecycle/launcher", "echo 'a b'"]);
}

#[test]
fn one_off_commands_are_passed_whole() {
    let slug = of(Origin::Buildpack, &["web"]).plan().one_off("blog-run-abcde".to_owned(), "echo 'a b'");
    let image = of(Origin::Image, &[]).plan().one_off("blog-run-abcde".to_owned(), "echo 'a b'");

    assert_eq!((slug.command, slug.args), (None, words(&["--", "echo 'a b'"])));
    assert_eq!((image.command, image.args), (words(&["/bin/bash", "-c"]), words(&["echo 'a b'"])));
    assert_eq!(slug.env["WORKFLOW_RELEASE"], "v7");
}

#[test]
fn the_port_is_the_apps_own_then_the_slugs_then_the_first_of_the_image() {
    let own = json!({"values": {"PORT": "9000"}});
    for (release, process, port, variable) in [
        (of(Origin::Buildpack, &["web"]), "web", Some(5000), Some("5000")),
        (Release::new(build(Origin::Buildpack, &["web"]), &own), "web", Some(9000), Some("9000")),
        (of(Origin::Image, &[]), "cmd", Some(8080), Some("8080")),
        (Release::new(build(Origin::Image, &[]), &own), "cmd", Some(9000), Some("9000")),
        (of(Origin::Buildpack, &["worker"]), "worker", None, Some("5000")),
    ] {
        let workload = release.workload(process);
        assert_eq!(
            (workload.port, workload.env.get("PORT").map(String::as_str)),
            (port, variable),
            "{process}"
        );
    }
}

#[test]
fn what_is_to_serve_without_a_port_is_refused_unless_it_rests() {
    let mut release = of(Origin::Image, &["worker"]);
    release.build.launch.port = None;
    let structure = |process, count| Structure::from([(process, count)]);
    let worker = ProcessType::parse("worker").expect("a type");

    assert_eq!(release.plan().workloads(&structure(ProcessType::cmd(), 1)), Err(PlanError::NoPort));
    assert!(release.plan().workloads(&structure(ProcessType::cmd(), 0)).is_ok());
    assert!(release.plan().workloads(&structure(worker, 1)).is_ok());
}

#[test]
fn config_wins_over_what_the_platform_sets() {
    let own = json!({"values": {"DEIS_APP": "mine", "A": "ü\n"}});
    let env = Release::new(build(Origin::Buildpack, &["web"]), &own).workload("web").env;

    let wanted = [
        ("A", "ü\n"),
        ("DEIS_APP", "mine"),
        ("PORT", "5000"),
        ("SOURCE_VERSION", "1a2b3c4d"),
        ("WORKFLOW_RELEASE", "v7"),
        ("WORKFLOW_RELEASE_CREATED_AT", "2023-11-14T22:13:20Z"),
        ("WORKFLOW_RELEASE_SUMMARY", "alice deployed 1a2b3c4"),
    ];
    assert_eq!(env, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn as_many_replicas_start_at_a_time_as_the_app_says_or_else_the_operator() {
    for (own, operators, batch) in [
        (json!({}), 0, BATCH_DEFAULT),
        (json!({}), 2, 2),
        (json!({"DEIS_DEPLOY_BATCHES": "3"}), 2, 3),
        (json!({"DEIS_DEPLOY_BATCHES": "0"}), 2, 2),
        (json!({"DEIS_DEPLOY_BATCHES": "4000"}), 0, 100),
    ] {
        let release = Release::new(build(Origin::Buildpack, &["web"]), &json!({"values": own}));
        let mut plan = release.plan();
        plan.settings.deploy_batches = operators;

        let web = plan.workload(&ProcessType::web(), 1).expect("a workload");

        assert_eq!(web.batch, batch, "{own} {operators}");
    }
}

#[test]
fn limits_tags_hooks_and_grace_are_those_of_the_type() {
    let config = json!({
        "memory": {"web": "64M/128M", "run": "1G"}, "cpu": {"web": "500m"}, "tags": {"disk": "ssd"},
        "lifecycle_post_start": {"web": "warm"}, "lifecycle_pre_stop": {"web": "sleep 1"},
        "termination_grace_period": {"web": "5"},
        "values": {"KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS": "9", "DEIS_DEPLOY_TIMEOUT": "77"},
    });
    let release = Release::new(build(Origin::Buildpack, &["web", "worker"]), &config);

    let (web, worker) = (release.workload("web"), release.workload("worker"));

    let limits = Limits {
        memory_request_bytes: Some(64 << 20),
        memory_limit_bytes: Some(128 << 20),
        cpu_request_millis: None,
        cpu_limit_millis: Some(500),
    };
    assert_eq!((web.limits, worker.limits), (limits, Limits::default()));
    assert_eq!((web.tags["disk"].as_str(), worker.tags["disk"].as_str()), ("ssd", "ssd"));
    assert_eq!(web.hooks.pre_stop.as_deref(), Some("sleep 1"));
    assert_eq!((web.hooks.post_start.as_deref(), worker.hooks.post_start), (Some("warm"), None));
    assert_eq!((web.grace_seconds, worker.grace_seconds), (5, 9));
    assert_eq!(web.start_timeout_seconds, 77);
    let one_off = release.plan().one_off("blog-run-abcde".to_owned(), "true");
    assert_eq!(one_off.limits.memory_limit_bytes, Some(1 << 30));
}

#[test]
fn what_serves_is_watched_by_the_platform_unless_the_user_does() {
    let own = json!({"healthcheck": {
        "web/cmd": {"readinessProbe": {"httpGet": {"port": 80, "path": "up"}, "initialDelaySeconds": 3}},
        "worker": {"livenessProbe": {"exec": {"command": ["true"]}}},
    }});
    let plain = of(Origin::Buildpack, &["web", "worker"]);
    let watched = Release::new(build(Origin::Buildpack, &["web", "worker"]), &own);

    let serving = plain.workload("web").probes.readiness.expect("a probe");
    let web = watched.workload("web");

    assert_eq!(serving.action, ProbeAction::Serving { port: 5000 });
    assert_eq!((serving.timeout_seconds, serving.period_seconds, serving.failure_threshold), (5, 1, 1));
    assert_eq!(plain.workload("worker").probes, Probes::default());
    let wanted = ProbeAction::HttpGet { port: 80, path: "/up".to_owned(), headers: Vec::new() };
    assert_eq!(web.probes.readiness.map(|probe| probe.action), Some(wanted));
    assert_eq!((web.probes.liveness, web.start_timeout_seconds), (None, 123));
    let command = vec!["true".to_owned()];
    let liveness = watched.workload("worker").probes.liveness;
    assert_eq!(liveness.map(|probe| probe.action), Some(ProbeAction::Exec { command }));
}

#[test]
fn a_type_at_zero_is_still_a_workload() {
    let structure = Structure::from([(ProcessType::web(), 0), (ProcessType::cmd(), 2)]);
    let workloads = of(Origin::Dockerfile, &["web"]).plan().workloads(&structure).expect("workloads");

    let replicas: Vec<_> = workloads.iter().map(|workload| workload.replicas).collect();
    assert_eq!(replicas, [Replicas::Fixed(2), Replicas::Fixed(0)]);
}

#[test]
fn a_rule_scales_what_is_not_at_rest() {
    let mut release = of(Origin::Buildpack, &["web", "worker"]);
    let rule = AutoscaleRule { min: 2, max: 5, cpu_percent: 40 };
    release.run.autoscale = [ProcessType::web()].map(|process| (process, rule)).into();
    let web = |replicas| release.plan().workload(&ProcessType::web(), replicas).expect("a workload").replicas;

    assert_eq!(web(1), Replicas::Auto { min: 2, max: 5, cpu_percent: 40 });
    assert_eq!(web(0), Replicas::Fixed(0));
    assert_eq!(release.workload("worker").replicas, Replicas::Fixed(1));
}

#[test]
fn an_app_that_is_not_routable_needs_no_port_and_is_not_probed() {
    let mut release = of(Origin::Image, &["web"]);
    release.build.launch.port = None;
    assert_eq!(release.plan().workload(&ProcessType::web(), 1), Err(PlanError::NoPort));

    release.run.routable = false;
    assert_eq!(release.workload("web").probes, Probes::default());
}

#[test]
fn a_process_type_with_a_service_listens_and_is_probed_as_web_is() {
    let mut release = of(Origin::Buildpack, &["web", "hooks"]);
    let hooks = release.workload("hooks");
    assert_eq!((hooks.port, hooks.probes), (None, Probes::default()));

    release.run.services.insert(ProcessType::parse("hooks").expect("a type"));
    let (web, hooks) = (release.workload("web"), release.workload("hooks"));
    assert_eq!((hooks.port, hooks.probes), (web.port, web.probes));
    assert_eq!(release.workload("worker").port, None);
}

#[test]
fn an_app_decides_on_pulls_and_old_versions_itself_else_the_operator_does() {
    let own = json!({"values": {
        "IMAGE_PULL_POLICY": "Always", "KUBERNETES_DEPLOYMENTS_REVISION_HISTORY_LIMIT": "3",
    }});
    let (plain, tuned) = (of(Origin::Image, &["web"]), Release::new(build(Origin::Image, &["web"]), &own));
    let of_operator = |release: &Release| {
        let mut plan = release.plan();
        plan.settings.revisions_kept = Some(5);
        plan.workload(&ProcessType::web(), 1).expect("a workload").revisions_kept
    };

    let web = tuned.workload("web");

    assert_eq!((web.pull_policy, web.revisions_kept), (Some(PullPolicy::Always), Some(3)));
    assert_eq!((plain.workload("web").pull_policy, plain.workload("web").revisions_kept), (None, None));
    assert_eq!((of_operator(&plain), of_operator(&tuned)), (Some(5), Some(3)));
    let one_off = tuned.plan().one_off("blog-run-abcde".to_owned(), "true");
    assert_eq!(one_off.pull_policy, Some(PullPolicy::Always));
}

#[test]
fn processes_know_their_address_where_app_or_operator_say_so() {
    let told = |values: serde_json::Value, operators: bool| {
        let release = Release::new(build(Origin::Image, &["web"]), &json!({ "values": values }));
        let mut plan = release.plan();
        plan.settings.expose_addresses = operators;
        plan.workload(&ProcessType::web(), 1).expect("a workload").knows_address
    };

    assert!(!told(json!({}), false) && told(json!({}), true));
    assert!(told(json!({"DEIS_EXPOSE_POD_IP": true}), false));
    assert!(!told(json!({"DEIS_EXPOSE_POD_IP": "off"}), true));
    assert!(!told(json!({"DEIS_EXPOSE_POD_IP": "True", "POD_IP": "192.0.2.1"}), true), "the app's own wins");
}

#[test]
fn a_process_without_a_memory_limit_has_the_default_and_0_takes_it_away() {
    let config = json!({"memory": {"web": "64M/128M", "free": "0"}});
    let release = Release::new(build(Origin::Buildpack, &["web", "worker", "free"]), &config);
    let settings = PlanSettings { default_memory_bytes: Some(1 << 30), ..release.plan().settings };
    let plan = WorkloadPlan { settings, ..release.plan() };
    let limits = |process: &str| plan.limits(&ProcessType::parse(process).expect("a type"));
    let memory = |limits: Limits| (limits.memory_request_bytes, limits.memory_limit_bytes);

    assert_eq!(memory(limits("web")), (Some(64 << 20), Some(128 << 20)));
    assert_eq!(memory(limits("worker")), (Some(0), Some(1 << 30)));
    assert_eq!(memory(limits("free")), (None, None));
    assert_eq!(memory(plan.one_off("x".to_owned(), "true").limits), (Some(0), Some(1 << 30)));
}

#[test]
fn a_process_type_without_a_command_runs_that_of_its_image() {
    let mut release = of(Origin::Dockerfile, &["web", "worker"]);
    release.build.procfile.insert(ProcessType::web(), String::new());

    let (web, worker) = (release.workload("web"), release.workload("worker"));

    assert_eq!((web.command, web.args), (None, None));
    assert_eq!(worker.args, Some(vec!["run-worker".to_owned()]));
}

#[test]
fn a_process_type_with_a_launch_of_its_own_has_its_image_user_and_port() {
    let mut release = of(Origin::Dockerfile, &["web", "worker"]);
    let image = Image::External { reference: "worker".to_owned(), digest: crate::Digest::of(b"worker") };
    let own =
        Launch { image: image.clone(), prefix: None, entrypoint: None, user: Some(7), port: Some(9000) };
    release.build.launches.insert(ProcessType::parse("worker").expect("a type"), own);

    let (web, worker) = (release.workload("web"), release.workload("worker"));

    assert_eq!(
        (web.image, web.user, web.env["PORT"].as_str()),
        (release.build.launch.image.clone(), None, "8080")
    );
    assert_eq!((worker.image, worker.user, worker.env["PORT"].as_str()), (image, Some(7), "9000"));
}
