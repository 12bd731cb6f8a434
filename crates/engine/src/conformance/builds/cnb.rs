//! Builds with Cloud Native Buildpacks.

use domain::build::{BuildJob, BuildKind, OneOff};
use domain::cnb::LAUNCHER;
use domain::{Image, ProcessType};
use tokio::sync::mpsc;

use super::{
    BuildLimits, BuildSubject, build, built, job, nothing_is_left, one_off, source, until_it_prints,
};
use crate::{JobError, Jobs as _};

/// A world that has a builder, whose buildpack runs `detect.sh` and `build.sh` of the source.
pub trait CnbSubject: BuildSubject {
    fn builder(&self) -> String;
}

fn cnb_job<S: CnbSubject>(subject: &S) -> BuildJob {
    let mut job = job(subject, BuildKind::Cnb);
    job.cnb.builder = subject.builder();
    job
}

/// A command in an image of the app, with the environment of its layers.
fn command(job: &BuildJob, image: &Image, line: &str) -> OneOff {
    let launcher = Some(vec![LAUNCHER.to_owned()]);
    OneOff { command: launcher, args: Some(vec![line.to_owned()]), ..one_off(&job.app, image.clone()) }
}

const APP: &[(&str, &str)] = &[("serve.sh", "echo \"$LIB_KEY on $PORT\"\n"), ("lock", "one")];

pub async fn a_build_of_a_builder_has_its_processes_and_the_environment_of_its_layers<S: CnbSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = cnb_job(&subject);

    let (built, output) = built(&subject, &job, APP).await;

    let types: Vec<_> = built.process_types.keys().collect();
    assert_eq!(types, [&ProcessType::web()], "{output}");
    let web = OneOff {
        command: Some(vec!["/cnb/process/web".to_owned()]),
        env: [("PORT".to_owned(), "5000".to_owned())].into(),
        ..one_off(&job.app, built.image.clone())
    };
    let ran = subject.jobs().run(&web).await.expect("it runs");
    assert_eq!((ran.exit_code, ran.output.trim()), (0, "one on 5000"));
    let ran = subject.jobs().run(&command(&job, &built.image, "echo \"<$LIB_KEY>\"; pwd; id -u")).await;
    assert_eq!(ran.expect("it runs").output, "<one>\n/workspace\n2000\n");
    nothing_is_left(&subject).await;
}

/// The same source gives the same image, and a changed one keeps the layers that did not change.
pub async fn layers_of_buildpacks_are_used_again_until_a_build_goes_without_a_cache<S: CnbSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let mut job = cnb_job(&subject);
    let changed = &[APP, &[("new", "x")]].concat();

    let (first, output) = built(&subject, &job, APP).await;
    assert!(output.contains("lib is made"), "{output}");
    let (same, output) = built(&subject, &job, APP).await;
    assert!(output.contains("lib is used again"), "{output}");
    assert_eq!(same.image, first.image);
    let (second, output) = built(&subject, &job, changed).await;
    assert!(output.contains("lib is used again"), "{output}");
    assert_ne!(second.image, first.image);
    let stamp = async |image| {
        let ran = subject.jobs().run(&command(&job, image, "cat /layers/test_app/lib/stamp")).await;
        ran.expect("it runs").output
    };
    assert_eq!(stamp(&second.image).await, stamp(&first.image).await);
    assert!(subject.has_cache(&job.app, job.kind).await);

    job.cache = false;
    let (_, output) = built(&subject, &job, APP).await;
    assert!(output.contains("lib is made"), "{output}");
    assert!(!subject.has_cache(&job.app, job.kind).await);
}

/// Detection and build have the config as files of the platform's folder, and nothing else of the platform.
pub async fn a_buildpack_sees_its_config_and_no_credential<S: CnbSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let look = "echo \"file: $(cat $CNB_PLATFORM_DIR/env/COLOR) $(stat -c '%A' /platform/env/COLOR) [$COLOR]\"\n\
        echo \"secrets: [$(env | grep -ciE 'password|token|DEIS_BUILD')] [$(ls /var/run/secrets /run/docker.sock 2>/dev/null)]\"\n\
        echo \"given: [$(ls -d /cache /run-image /out /given 2>/dev/null)]\"\n\
        grep -q 'CapBnd:.0000000000000000' /proc/self/status && echo no capabilities\n\
        grep -q 'NoNewPrivs:.1' /proc/self/status && echo no new privileges\n\
        touch /cnb/order.toml 2>/dev/null || echo the builder is read-only\n";
    let mut job = cnb_job(&subject);
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    let (_, output) =
        built(&subject, &job, &[APP, &[("detect.sh", look), ("build.sh", look)]].concat()).await;

    for line in
        ["file: teal -r-------- [", "secrets: [0] []", "given: []", "no capabilities", "no new privileges"]
    {
        assert_eq!(output.matches(line).count(), 2, "{line}: {output}");
    }
    assert_eq!(output.matches("the builder is read-only").count(), 2, "{output}");
}

/// The app still stands on the builder's run image, with no file of others.
pub async fn what_a_buildpack_rewrites_or_links_to_gains_nothing<S: CnbSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = cnb_job(&subject);
    let evil = "printf '[run-image]\\nreference = \"deis/builder:latest\"\\nimage = \"deis/builder:latest\"\\n' \
            >/layers/analyzed.toml\n\
        mkdir -p /layers/test_app/out && ln -s /etc/shadow /layers/test_app/out/shadow\n\
        printf '[types]\\nlaunch = true\\n' >/layers/test_app/out.toml\n";
    let (plain, _) = built(&subject, &job, APP).await;

    let (built, output) = built(&subject, &job, &[APP, &[("build.sh", evil)]].concat()).await;

    let base = subject.layers(&job.app, &plain.image).await;
    let layers = subject.layers(&job.app, &built.image).await;
    assert_eq!(layers[0], base[0], "{output}");
    let line = "readlink /layers/test_app/out/shadow; ls /usr/local/bin/buildkitd 2>&1 | grep -c 'No such'";
    let ran = subject.jobs().run(&command(&job, &built.image, line)).await.expect("it runs");
    assert_eq!(ran.output, "/etc/shadow\n1\n", "a link stays a link");
}

pub async fn a_source_that_no_buildpack_fits_and_a_build_that_fails_are_told<S: CnbSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = cnb_job(&subject);
    let unfit = [("detect.sh", "echo 'it has no main'; exit 100\n")];
    let (refused, output) = build(&subject, &job, &unfit).await;
    let told = refused.expect_err("nothing fits").to_string();
    assert!(
        told.contains("no buildpacks of the builder") && output.contains("it has no main"),
        "{told}: {output}"
    );

    let (failed, output) = build(&subject, &job, &[("build.sh", "echo broken; exit 3\n")]).await;
    assert!(matches!(failed, Err(JobError::Failed { .. })), "{failed:?}: {output}");
    assert!(output.contains("broken"), "{output}");
    nothing_is_left(&subject).await;
}

pub async fn a_build_of_a_builder_is_bounded_in_memory_and_time<S: CnbSubject>() {
    let subject = S::start(BuildLimits { memory_bytes: Some(96 << 20), ..BuildLimits::default() }).await;
    let mut job = cnb_job(&subject);
    let greedy = "set -o pipefail\nhead -c 200000000 /dev/zero | tail -c 190000000 | wc -c\n";
    let (refused, output) = build(&subject, &job, &[("build.sh", greedy)]).await;
    let told = refused.expect_err("it needs too much").to_string();
    assert!(told.contains("more than its bound of 96 MB of memory"), "{told}: {output}");

    job.deadline_seconds = 10;
    let (late, output) = build(&subject, &job, &[("build.sh", "sleep 600\n")]).await;
    assert!(matches!(late, Err(JobError::TimedOut { seconds: 10 })), "{late:?}: {output}");
    nothing_is_left(&subject).await;
}

pub async fn a_dropped_build_of_a_builder_and_one_of_a_dead_process_are_removed<S: CnbSubject>() {
    let mut subject = S::start(BuildLimits::default()).await;
    for is_dropped in [true, false] {
        let (sender, mut output) = mpsc::channel(64);
        let job = cnb_job(&subject);
        let files = [("build.sh", "echo begun\nsleep 600\n")];
        let mut build = subject.jobs().build(&job, source(&files), sender);
        until_it_prints("begun", &mut build, &mut output).await;
        if is_dropped {
            drop(build);
        } else {
            std::mem::forget(build);
            subject.take_over().await;
        }
        nothing_is_left(&subject).await;
    }
}
