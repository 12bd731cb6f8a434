//! Builds by buildpacks.

use std::time::{Duration, Instant};

use domain::build::{BuildJob, BuildKind, OneOff};
use domain::registry_access::cache_repository;
use domain::{AppName, ProcessType};
use engine::{JobError, Jobs as _};
use engine_kubernetes::KubernetesJobs;
use oci::Access;
use tokio::sync::mpsc;

use crate::one_off::one_off;
use crate::registry::apply;
use crate::sources::{OUTWARD_LINKS, run_build, source, source_with_links};
use crate::world::{World, job, jobs};

const PROCFILE_APP: &[(&str, &str)] =
    &[("Procfile", "web: ./bin/serve\n"), ("bin/serve", "#!/bin/bash\necho serving $1\n")];

#[tokio::test]
async fn a_buildpack_build_ends_as_the_stack_and_one_layer_that_nodes_can_run() {
    let world = World::new().await;
    let job = job(BuildKind::Buildpack);

    let begun = Instant::now();
    let (first, output) = world.build(&job, PROCFILE_APP).await;
    println!("first build: {:?}", begun.elapsed());
    let begun = Instant::now();
    let (second, _) = world.build(&job, PROCFILE_APP).await;
    println!("second build: {:?}", begun.elapsed());

    let first = first.unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!((first.ports.as_slice(), first.user.as_str()), (&[5000][..], "2000:2000"));
    assert_eq!(first.process_types.get(&ProcessType::web()).map(String::as_str), Some("./bin/serve"));
    assert_eq!(second.expect("the second build succeeds"), first, "the same source gives the same image");
    assert!(output.contains("Compiled slug size"), "{output}");
    world.no_build_is_left().await;

    let args = Some(vec!["--".to_owned(), "./bin/serve once".to_owned()]);
    let run = OneOff { args, ..one_off(&job.app, first.image) };
    let begun = Instant::now();
    let finished = world.jobs.run(&run).await.expect("the slug starts");
    println!("one-off run: {:?}", begun.elapsed());
    assert_eq!((finished.exit_code, finished.output.as_str()), (0, "serving once\n"));
}

#[tokio::test]
async fn user_code_sees_the_config_as_files_and_no_credential() {
    let world = World::new().await;
    let hook = "#!/bin/bash\n\
        echo \"file: $(cat /workspace/env/COLOR)\"\n\
        echo \"env: [$COLOR] version: $SOURCE_VERSION uid: $(id -u)\"\n\
        echo \"secrets: [$(env | grep -c DEIS_BUILD)] [$(ls /var/run/secrets 2>/dev/null)]\"\n\
        echo \"beside: [$(cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c [b]uild-step)]\"\n\
        grep -q 'CapBnd:.0000000000000000' /proc/self/status && echo no capabilities\n";
    let mut job = job(BuildKind::Buildpack);
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    let files = [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat();
    let (built, output) = world.build(&job, &files).await;

    built.unwrap_or_else(|error| panic!("{error}: {output}"));
    assert!(output.contains("file: teal"), "{output}");
    assert!(output.contains("env: [teal] version: 0123abcd uid: 2000"), "{output}");
    assert!(output.contains("secrets: [0] []"), "{output}");
    assert!(output.contains("beside: [0]"), "the step that holds a credential is not seen: {output}");
    assert!(output.contains("no capabilities"), "{output}");
}

#[tokio::test]
async fn a_failing_build_gives_its_exit_code_and_one_above_its_memory_the_bound() {
    let world = World::with(|settings| settings.build_memory_bytes = 96 << 20).await;
    let failing = [PROCFILE_APP, &[("bin/pre-compile", "#!/bin/bash\necho oh no\nexit 3\n")]].concat();
    let hungry = "#!/bin/bash\npython3 -c 'x = bytearray(300_000_000)' || exit 1\n";
    let hungry = [PROCFILE_APP, &[("bin/pre-compile", hungry)]].concat();

    let (built, output) = world.build(&job(BuildKind::Buildpack), &failing).await;
    assert!(matches!(built, Err(JobError::Failed { .. })), "{built:?}");
    assert!(output.contains("oh no"), "{output}");

    let (built, output) = world.build(&job(BuildKind::Buildpack), &hungry).await;
    let reason = built.expect_err(&output).to_string();
    assert!(reason.contains("96 MB of memory"), "{reason}: {output}");
    world.no_build_is_left().await;
}

#[tokio::test]
async fn a_build_above_its_disk_is_evicted_and_told_so() {
    let world = World::with(|settings| settings.build_disk_bytes = 64 << 20).await;
    let hook = "#!/bin/bash\nhead -c 200000000 /dev/zero >/workspace/cache/big\nsleep 150\n";

    let files = [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat();
    let (built, output) = world.build(&job(BuildKind::Buildpack), &files).await;

    let reason = built.expect_err(&output).to_string();
    assert!(reason.contains("evicted") && reason.contains("limit"), "{reason}");
    world.no_build_is_left().await;
}

#[tokio::test]
async fn a_build_whose_pod_is_removed_is_told_so() {
    let world = World::new().await;
    let sleeping = [PROCFILE_APP, &[("bin/pre-compile", "#!/bin/bash\necho begun\nsleep 600\n")]].concat();
    let (sender, mut receiver) = mpsc::channel(64);
    let job = job(BuildKind::Buildpack);
    let mut build = Box::pin(world.jobs.build(&job, source(&sleeping), sender));
    wait_for("begun", &mut build, &mut receiver).await;

    world.delete_build_pods();

    let reason = build.await.expect_err("its pod is gone").to_string();
    assert!(reason.contains("its pod was removed"), "{reason}");
    world.no_build_is_left().await;
}

/// User code runs beside the upload; at most it makes its own upload begin early.
#[tokio::test]
async fn a_build_that_writes_into_the_fifos_or_replaces_them_harms_only_itself() {
    let world = World::new().await;
    let hook = "#!/bin/bash\necho ok >/workspace/build.fifo\nrm -f /workspace/*.fifo\n\
        ln -s /proc/self/environ /workspace/build.fifo\nexit 4\n";

    let files = [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat();
    let (built, output) = world.build(&job(BuildKind::Buildpack), &files).await;

    assert!(built.is_err(), "{output}");
    assert!(!format!("{built:?}{output}").contains("DEIS_BUILD_PASSWORD"), "{built:?}{output}");
    world.no_build_is_left().await;
}

#[tokio::test]
async fn links_that_lead_out_of_the_source_are_there_as_they_are() {
    let world = World::new().await;
    let told = "#!/bin/bash\nreadlink log site/img/pictures etc | sed 's/^/link: /'\n";
    let files = [PROCFILE_APP, &[("bin/post-compile", told)]].concat();

    let source = source_with_links(&files, OUTWARD_LINKS);
    let (built, output) = world.build_source(&job(BuildKind::Buildpack), source).await;

    built.expect(&output);
    for (_, target) in OUTWARD_LINKS {
        assert!(output.contains(&format!("link: {target}\n")), "{output}");
    }
}

#[tokio::test]
async fn links_that_a_build_leaves_lead_nowhere() {
    let world = World::new().await;
    let hook = "#!/bin/bash\n(sleep 1; rm -f /workspace/out/layer.tar; ln -s /proc/self/environ /workspace/out/layer.tar) &\n\
        disown\nrm -rf /workspace/out\nln -s /etc /workspace/out\n";

    let files = [PROCFILE_APP, &[("bin/post-compile", hook)]].concat();
    let (built, output) = world.build(&job(BuildKind::Buildpack), &files).await;

    assert!(built.is_err(), "{output}");
}

#[tokio::test]
async fn a_build_ends_at_its_deadline_and_leaves_nothing() {
    let world = World::new().await;
    let mut job = job(BuildKind::Buildpack);
    let files = [PROCFILE_APP, &[("bin/pre-compile", "#!/bin/bash\nsleep 60\n")]].concat();
    // The stack is found first, and the nodes have it.
    world.build(&job, PROCFILE_APP).await.0.expect("it builds");
    job.deadline_seconds = 8;

    let (built, _) = world.build(&job, &files).await;

    assert!(matches!(built, Err(JobError::TimedOut { seconds: 8 })), "{built:?}");
    world.no_build_is_left().await;
}

#[tokio::test]
async fn a_dropped_build_and_a_build_of_a_dead_process_are_removed() {
    let world = World::new().await;
    let files = [PROCFILE_APP, &[("bin/pre-compile", "#!/bin/bash\necho begun\nsleep 600\n")]].concat();

    for is_dropped in [true, false] {
        let (sender, mut receiver) = mpsc::channel(64);
        let job = job(BuildKind::Buildpack);
        let mut build = Box::pin(world.jobs.build(&job, source(&files), sender));
        wait_for("begun", &mut build, &mut receiver).await;
        assert!(!world.builds_left().is_empty());
        if is_dropped {
            drop(build);
        } else {
            // The guard never runs, as after kill -9; the next process finds what is left.
            std::mem::forget(build);
            jobs(&world.settings).await.remove_orphaned_builds().await.expect("the cluster answers");
        }
        world.no_build_is_left().await;
    }
}

async fn wait_for<T>(
    text: &str,
    build: &mut (impl Future<Output = Result<T, JobError>> + Unpin),
    receiver: &mut mpsc::Receiver<bytes::Bytes>,
) {
    let mut output = String::new();
    let seen = async {
        while !output.contains(text) {
            let chunk = receiver.recv().await.expect("the build goes on");
            output.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    tokio::select! {
        () = seen => {}
        built = build => panic!("the build ended: {:?}", built.err()),
        () = tokio::time::sleep(Duration::from_secs(120)) => panic!("the build says nothing"),
    }
}

#[tokio::test]
async fn a_cache_is_kept_for_the_next_build_until_one_goes_without() {
    let world = World::new().await;
    let mut job = job(BuildKind::Buildpack);
    let hook = "#!/bin/bash\necho \"kept: [$(cat /workspace/cache/stamp 2>/dev/null)]\"\necho one >/workspace/cache/stamp\n";
    let files = [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat();

    for kept in ["kept: []", "kept: [one]"] {
        let (built, output) = world.build(&job, &files).await;
        built.unwrap_or_else(|error| panic!("{error}: {output}"));
        assert!(output.contains(kept), "{output}");
        assert!(has_cache(&world, &job.app).await, "{output}");
    }
    job.cache = false;
    let (built, output) = world.build(&job, &files).await;

    built.unwrap_or_else(|error| panic!("{error}: {output}"));
    assert!(output.contains("kept: []"), "{output}");
    assert!(!has_cache(&world, &job.app).await);
}

#[tokio::test]
async fn of_all_caches_the_least_recently_used_go_and_first_those_of_an_earlier_process() {
    let world = World::with(|settings| settings.build_caches.count_max = 2).await;
    let hook = "#!/bin/bash\necho one >/workspace/cache/stamp\n";
    let files = [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat();
    let build = async |jobs: &KubernetesJobs, job: &BuildJob| {
        let (built, output) = run_build(|output| jobs.build(job, source(&files), output)).await;
        built.unwrap_or_else(|error| panic!("{error}: {output}"));
        assert!(has_cache(&world, &job.app).await, "{output}");
    };
    let [earlier, first, second, third] = [(); 4].map(|()| job(BuildKind::Buildpack));
    build(&world.jobs, &earlier).await;
    // Apps of earlier processes are known by their namespaces.
    let (app, prefix) = (&earlier.app, &world.settings.namespace_prefix);
    apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {prefix}{app}\n  labels:\n    heritage: deis\n    \
         app: {app}\n"
    ));
    let jobs = jobs(&world.settings).await;

    build(&jobs, &first).await;
    build(&jobs, &second).await;
    cache_goes(&world, &earlier.app).await;
    assert!(has_cache(&world, &first.app).await && has_cache(&world, &second.app).await);

    build(&jobs, &first).await;
    build(&jobs, &third).await;
    cache_goes(&world, &second.app).await;
    assert!(has_cache(&world, &first.app).await && has_cache(&world, &third.app).await);
}

async fn has_cache(world: &World, app: &AppName) -> bool {
    let repository = world.registry.repository(&cache_repository(app), Access::Pull);
    repository.has_manifest("latest").await.expect("the registry answers")
}

/// Waits until the cache is gone: bounds are enforced after a build has ended.
async fn cache_goes(world: &World, app: &AppName) {
    for _ in 0..300 {
        if !has_cache(world, app).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the cache of {app} is still there");
}

#[tokio::test]
async fn a_build_whose_image_is_not_to_be_had_is_told_so() {
    let world = World::with(|settings| settings.workflow_image = "127.0.0.1:1/none:v1".to_owned()).await;

    let (built, _) = world.build(&job(BuildKind::Buildpack), PROCFILE_APP).await;

    let reason = built.expect_err("no node has it").to_string();
    assert!(reason.contains("image 127.0.0.1:1/none:v1 cannot be pulled"), "{reason}");
    world.no_build_is_left().await;
}
