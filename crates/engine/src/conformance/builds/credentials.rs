//! What user code sees and may do during a build.

use domain::build::{BuildJob, BuildKind};

use super::{BuildLimits, BuildSubject, build, built, job, nothing_is_left, with_hook};
use crate::JobError;

/// Processes of the platform that hold a credential are not seen either.
pub async fn a_buildpack_build_sees_its_config_and_no_credential<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let hook = "#!/bin/bash\n\
        echo \"file: $(cat /workspace/env/COLOR) $(stat -Lc '%A' /workspace/env/COLOR)\"\n\
        echo \"env: [$COLOR] version: $SOURCE_VERSION uid: $(id -u)\"\n\
        echo \"secrets: [$(env | grep -c DEIS_BUILD)] [$(ls /var/run/secrets 2>/dev/null)]\"\n\
        echo \"beside: [$(cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c [b]uild-step)]\"\n\
        grep -q 'CapBnd:.0000000000000000' /proc/self/status && echo no capabilities\n";
    let mut job = job(&subject, BuildKind::Buildpack);
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    let (_, output) = built(&subject, &job, &with_hook(hook)).await;

    let file = output.lines().find_map(|line| line.split_once("file: teal -r--"));
    assert!(file.is_some_and(|(_, rest)| rest.ends_with("---")), "others cannot read it: {output}");
    assert!(output.contains("env: [teal] version: 0123abcd uid: 2000"), "{output}");
    assert!(output.contains("secrets: [0] []"), "{output}");
    assert!(output.contains("beside: [0]"), "the step that holds a credential is not seen: {output}");
    assert!(output.contains("no capabilities"), "{output}");
}

/// User code is root of a user namespace alone: it has no right on the machine, and none to get one.
pub async fn a_step_has_no_right_outside_its_namespaces<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let dockerfile = format!(
        "FROM {}\nUSER root\nRUN echo \"map $(head -1 /proc/self/uid_map | tr -s ' ')\"\n\
         RUN grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status\n\
         RUN ls /workspace /var/lib/buildkit /bases 2>&1 || true\n\
         RUN echo \"secrets: [$(cat /proc/[0-9]*/environ 2>/dev/null | grep -c DEIS_BUILD)]\"\n",
        subject.base()
    );

    let (_, output) =
        built(&subject, &job(&subject, BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;

    assert!(output.contains(" 0 1000 1\n"), "root of a step is no root of the machine: {output}");
    assert!(output.contains("NoNewPrivs:\t1") && output.contains("Seccomp:\t2"), "{output}");
    assert!(output.contains("cannot access '/var/lib/buildkit'"), "{output}");
    assert!(output.contains("secrets: [0]"), "{output}");
}

/// Not by any name of it, as base or as a source of files.
pub async fn images_of_other_apps_do_not_exist_for_a_build<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let other = job(&subject, BuildKind::Dockerfile);
    let secret = [("Dockerfile", "FROM scratch\nCOPY secret /secret\n"), ("secret", "of another app")];
    let (shop, _) = built(&subject, &other, &secret).await;
    let own = job(&subject, BuildKind::Dockerfile);

    for name in subject.names_of(&other.app, &shop.image) {
        is_no_base(&subject, &own, &format!("FROM {name}\n")).await;
        is_no_base(&subject, &own, &format!("ARG BASE={name}\nFROM $BASE\n")).await;
        let copied = format!("FROM scratch\nCOPY --from={name} /secret /secret\n");
        is_no_base(&subject, &own, &copied).await;
    }
    nothing_is_left(&subject).await;
}

/// The Dockerfile, which names the image of another app, does not build and shows nothing of it.
pub async fn is_no_base<S: BuildSubject>(subject: &S, job: &BuildJob, dockerfile: &str) {
    let (built, output) = build(subject, job, &[("Dockerfile", dockerfile)]).await;
    assert!(matches!(built, Err(JobError::Failed { exit_code: 1 })), "{dockerfile}\n{built:?}\n{output}");
    assert!(!output.contains("of another app"), "{dockerfile}\n{output}");
    assert!(output.contains("failed to solve"), "{dockerfile}\n{output}");
}
