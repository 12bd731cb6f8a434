//! Builds with packs: what they get, what they make, and how they end early.

use std::time::Duration;

use domain::ProcessType;
use domain::build::{BuildKind, OneOff};
use engine::{JobError, Jobs as _};
use tokio::sync::mpsc;

use crate::one_off::one_off;
use crate::sources::{OUTWARD_LINKS, source, source_with_links};
use crate::world::{STACK_IMAGE, World, job, need_stack};

const PROCFILE_APP: &[(&str, &str)] =
    &[("Procfile", "web: ./bin/serve\n"), ("bin/serve", "#!/bin/bash\necho serving $1\n")];

#[tokio::test]
async fn a_buildpack_build_ends_as_the_stack_and_one_layer() {
    need_stack();
    let world = World::new().await;

    let (first, output) = world.build(&job(BuildKind::Buildpack), PROCFILE_APP).await;
    let (second, _) = world.build(&job(BuildKind::Buildpack), PROCFILE_APP).await;

    let first = first.expect(&output);
    assert_eq!((first.ports.as_slice(), first.user.as_str()), (&[5000][..], "2000:2000"));
    assert_eq!(first.process_types.get(&ProcessType::web()).map(String::as_str), Some("./bin/serve"));
    assert_eq!(second.expect("the second build succeeds"), first, "the same source gives the same image");
    let name = format!("{}:{}", world.repository("blog"), first.image.digest().hex());
    let layers =
        |image: &str| world.docker(&["image", "inspect", "--format", "{{len .RootFS.Layers}}", image]);
    assert_eq!((layers(STACK_IMAGE), layers(&name)), (vec!["2".to_owned()], vec!["3".to_owned()]));
    world.no_container_is_left().await;

    let run =
        OneOff { args: Some(vec!["--".to_owned(), "./bin/serve once".to_owned()]), ..one_off(first.image) };
    let finished = world.engine.run(&run).await.expect("the slug starts");
    assert_eq!((finished.exit_code, finished.output.as_str()), (0, "serving once\n"));
}

#[tokio::test]
async fn a_build_sees_the_config_as_files_and_in_its_environment() {
    need_stack();
    let world = World::new().await;
    let hook = "#!/bin/bash\n\
        echo \"file: $(cat /workspace/env/COLOR) $(stat -c '%a %u' /workspace/env/COLOR)\"\n\
        echo \"env: [$COLOR] version: $SOURCE_VERSION uid: $(id -u)\"\n\
        grep -q 'CapBnd:.0000000000000000' /proc/self/status && echo no capabilities\n";
    let mut job = job(BuildKind::Buildpack);
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    let files = [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat();
    let (built, output) = world.build(&job, &files).await;

    built.expect(&output);
    assert!(output.contains("file: teal 400 2000"), "{output}");
    assert!(output.contains("env: [teal] version: 0123abcd uid: 2000"), "{output}");
    assert!(output.contains("no capabilities"), "{output}");
}

#[tokio::test]
async fn links_that_lead_out_of_the_source_are_in_the_slug_as_they_are() {
    need_stack();
    let world = World::new().await;
    let told = "#!/bin/bash\nreadlink log site/img/pictures etc\n";
    let files = [("Procfile", "web: ./bin/told\n"), ("bin/told", told)];

    let source = source_with_links(&files, OUTWARD_LINKS);
    let (built, output) = world.build_source(&job(BuildKind::Buildpack), source).await;

    let image = built.expect(&output).image;
    let run = OneOff { args: Some(vec!["--".to_owned(), "./bin/told".to_owned()]), ..one_off(image) };
    let finished = world.engine.run(&run).await.expect("the slug starts");
    assert_eq!(finished.output, "../../shared/log\n../../../../../pictures\n/etc\n");
}

#[tokio::test]
async fn a_build_above_its_memory_is_told_the_bound() {
    need_stack();
    let world = World::with(|settings| settings.build_memory_bytes = 64 << 20).await;
    let hook = "#!/bin/bash\npython3 -c 'x = bytearray(300_000_000)' || exit 1\n";

    let files = [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat();
    let (built, output) = world.build(&job(BuildKind::Buildpack), &files).await;

    let reason = built.expect_err(&output).to_string();
    assert!(reason.contains("64 MB of memory"), "{reason}: {output}");
    world.no_container_is_left().await;
}

#[tokio::test]
async fn a_slug_above_its_bound_is_refused() {
    need_stack();
    let world = World::with(|settings| settings.slug_bytes_max = 1 << 20).await;
    let hook = "#!/bin/bash\nhead -c 3000000 /dev/urandom >big\n";

    let files = [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat();
    let (built, output) = world.build(&job(BuildKind::Buildpack), &files).await;

    assert!(built.is_err(), "{output}");
    world.no_container_is_left().await;
}

#[tokio::test]
async fn a_build_ends_at_its_deadline_and_leaves_nothing() {
    need_stack();
    let world = World::new().await;
    let mut job = job(BuildKind::Buildpack);
    job.deadline_seconds = 2;

    let files = [PROCFILE_APP, &[("bin/pre-compile", "#!/bin/bash\nsleep 60\n")]].concat();
    let (built, _) = world.build(&job, &files).await;

    assert!(matches!(built, Err(JobError::TimedOut { seconds: 2 })), "{built:?}");
    world.no_container_is_left().await;
}

#[tokio::test]
async fn a_dropped_build_and_a_build_of_a_dead_process_are_removed() {
    need_stack();
    let world = World::new().await;
    let files = [PROCFILE_APP, &[("bin/pre-compile", "#!/bin/bash\necho begun\nsleep 60\n")]].concat();

    for is_dropped in [true, false] {
        let (sender, mut receiver) = mpsc::channel(64);
        let job = job(BuildKind::Buildpack);
        let mut build = Box::pin(world.engine.build(&job, source(&files), sender));
        wait_for("begun", &mut build, &mut receiver).await;
        assert_eq!(world.containers().len(), 1);
        if is_dropped {
            drop(build);
        } else {
            // The guard never runs, as after kill -9; the next engine finds what is left.
            std::mem::forget(build);
            engine_docker::DockerEngine::start(world.settings.clone()).await.expect("Docker answers");
        }
        world.no_container_is_left().await;
    }
}

async fn wait_for<T>(
    text: &str,
    build: &mut (impl Future<Output = T> + Unpin),
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
        _ = build => panic!("the build ended"),
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("the build says nothing"),
    }
}

#[tokio::test]
async fn without_a_cache_the_kept_one_is_removed() {
    need_stack();
    let world = World::new().await;
    let mut job = job(BuildKind::Buildpack);
    let name = format!("name=deis-{}-cache-blog", world.instance);
    let volumes = || world.docker(&["volume", "ls", "--quiet", "--filter", &name]);

    let (built, output) = world.build(&job, PROCFILE_APP).await;
    built.expect(&output);
    assert_eq!(volumes().len(), 1);
    job.cache = false;
    let (built, output) = world.build(&job, PROCFILE_APP).await;
    built.expect(&output);

    assert!(volumes().is_empty());
}
