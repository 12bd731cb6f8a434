//! Limits of builds.

use domain::build::BuildKind;

use super::{BuildLimits, BuildSubject, PROCFILE_APP, build, built, job, nothing_is_left, with_hook};
use crate::JobError;

/// The reason names the limit.
pub async fn a_buildpack_build_above_its_memory_is_told_the_limit<S: BuildSubject>() {
    let subject = S::start(BuildLimits { memory_bytes: Some(96 << 20), ..BuildLimits::default() }).await;
    let hook = "#!/bin/bash\npython3 -c 'x = bytearray(300_000_000)' || exit 1\n";

    let (built, output) = build(&subject, &job(&subject, BuildKind::Buildpack), &with_hook(hook)).await;

    let reason = built.expect_err(&output).to_string();
    assert!(reason.contains("96 MB of memory"), "{reason}: {output}");
    nothing_is_left(&subject).await;
}

/// The reason names the limit.
pub async fn a_step_of_a_dockerfile_above_its_memory_is_told_the_limit<S: BuildSubject>() {
    let subject = S::start(BuildLimits { memory_bytes: Some(256 << 20), ..BuildLimits::default() }).await;
    let dockerfile = format!("FROM {}\nRUN dd if=/dev/zero of=/dev/null bs=400M count=1\n", subject.base());

    let (built, output) =
        build(&subject, &job(&subject, BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;

    let reason = built.expect_err(&output).to_string();
    assert!(reason.contains("256 MB of memory"), "{reason}: {output}");
}

/// No image comes of it.
pub async fn a_slug_above_its_limit_is_refused<S: BuildSubject>() {
    let subject = S::start(BuildLimits { slug_bytes_max: Some(1 << 20), ..BuildLimits::default() }).await;
    let hook = "#!/bin/bash\nhead -c 3000000 /dev/urandom >big\n";

    let (built, output) = build(&subject, &job(&subject, BuildKind::Buildpack), &with_hook(hook)).await;

    assert!(built.is_err(), "{output}");
    nothing_is_left(&subject).await;
}

/// A build that hangs is ended.
pub async fn a_buildpack_build_ends_at_its_deadline_and_leaves_nothing<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let mut job = job(&subject, BuildKind::Buildpack);
    // The stack is here from now on.
    built(&subject, &job, PROCFILE_APP).await;
    job.deadline_seconds = 8;

    let (built, _) = build(&subject, &job, &with_hook("#!/bin/bash\nsleep 600\n")).await;

    assert!(matches!(built, Err(JobError::TimedOut { seconds: 8 })), "{built:?}");
    nothing_is_left(&subject).await;
}

/// A step that hangs is ended.
pub async fn a_dockerfile_build_ends_at_its_deadline_and_leaves_nothing<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let mut job = job(&subject, BuildKind::Dockerfile);
    let base = subject.base();
    // The base is here from now on.
    built(&subject, &job, &[("Dockerfile", &format!("FROM {base}\n"))]).await;
    let marker = format!("begun-{}", job.app);
    let dockerfile = format!("FROM {base}\nRUN echo {marker}; sleep 600\n");
    job.deadline_seconds = 30;

    let (built, output) = build(&subject, &job, &[("Dockerfile", &dockerfile)]).await;

    assert!(matches!(built, Err(JobError::TimedOut { seconds: 30 })), "{built:?}");
    assert!(output.contains(&marker), "the step has begun: {output}");
    nothing_is_left(&subject).await;
}
