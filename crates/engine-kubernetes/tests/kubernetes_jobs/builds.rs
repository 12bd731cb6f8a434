//! Builds, as far as they are of a cluster: pods, the kubelet, and steps side by side.

use domain::build::BuildKind;
use engine::Jobs as _;
use engine::conformance::builds::{
    PROCFILE_APP, build, built, job, nothing_is_left, source, until_it_prints, with_hook,
};
use tokio::sync::mpsc;

use crate::world::World;

#[tokio::test]
async fn a_build_above_its_disk_is_evicted_and_told_so() {
    let world = World::with(|settings| settings.build_disk_bytes = 64 << 20).await;
    let hook = "#!/bin/bash\nhead -c 200000000 /dev/zero >/workspace/cache/big\nsleep 150\n";

    let files = with_hook(hook);
    let (built, output) = build(&world, &job(&world, BuildKind::Buildpack), &files).await;

    let reason = built.expect_err(&output).to_string();
    assert!(reason.contains("evicted") && reason.contains("limit"), "{reason}");
    nothing_is_left(&world).await;
}

#[tokio::test]
async fn a_build_whose_pod_is_removed_is_told_so() {
    let world = World::new().await;
    let sleeping = with_hook("#!/bin/bash\necho begun\nsleep 600\n");
    let (sender, mut receiver) = mpsc::channel(64);
    let job = job(&world, BuildKind::Buildpack);
    let mut build = Box::pin(world.jobs.build(&job, source(&sleeping), sender));
    until_it_prints("begun", &mut build, &mut receiver).await;

    world.delete_build_pods();

    let reason = build.await.expect_err("its pod is gone").to_string();
    assert!(reason.contains("its pod was removed"), "{reason}");
    nothing_is_left(&world).await;
}

/// User code runs beside the upload; at most it makes its own upload begin early.
#[tokio::test]
async fn a_build_that_writes_into_the_fifos_or_replaces_them_harms_only_itself() {
    let world = World::new().await;
    let hook = "#!/bin/bash\necho ok >/workspace/build.fifo\nrm -f /workspace/*.fifo\n\
        ln -s /proc/self/environ /workspace/build.fifo\nexit 4\n";

    let files = with_hook(hook);
    let (built, output) = build(&world, &job(&world, BuildKind::Buildpack), &files).await;

    assert!(built.is_err(), "{output}");
    assert!(!format!("{built:?}{output}").contains("DEIS_BUILD_PASSWORD"), "{built:?}{output}");
    nothing_is_left(&world).await;
}

#[tokio::test]
async fn links_that_a_build_leaves_lead_nowhere() {
    let world = World::new().await;
    let hook = "#!/bin/bash\n(sleep 1; rm -f /workspace/out/layer.tar; ln -s /proc/self/environ /workspace/out/layer.tar) &\n\
        disown\nrm -rf /workspace/out\nln -s /etc /workspace/out\n";

    let files = [PROCFILE_APP, &[("bin/post-compile", hook)]].concat();
    let (built, output) = build(&world, &job(&world, BuildKind::Buildpack), &files).await;

    assert!(built.is_err(), "{output}");
}

#[tokio::test]
async fn a_build_whose_image_is_not_to_be_had_is_told_so() {
    let world = World::with(|settings| settings.workflow_image = "127.0.0.1:1/none:v1".to_owned()).await;

    let (built, _) = build(&world, &job(&world, BuildKind::Buildpack), PROCFILE_APP).await;

    let reason = built.expect_err("no node has it").to_string();
    assert!(reason.contains("image 127.0.0.1:1/none:v1 cannot be pulled"), "{reason}");
    nothing_is_left(&world).await;
}

/// Else each step copies its base, half a gigabyte of it.
#[tokio::test]
async fn a_step_runs_on_an_overlay_and_reads_no_environment_of_its_pod() {
    let world = World::new().await;
    let dockerfile = "FROM deis/stack\nRUN awk '$2 == \"/\" { print \"root is\", $3 }' /proc/self/mounts\n\
        USER root\nRUN cat /proc/1/environ 2>&1 | head -c 100\n";

    let (_, output) = built(&world, &job(&world, BuildKind::Dockerfile), &[("Dockerfile", dockerfile)]).await;

    assert!(output.contains("root is overlay\n"), "{output}");
    assert!(output.contains("/proc/1/environ: Permission denied"), "{output}");
}
