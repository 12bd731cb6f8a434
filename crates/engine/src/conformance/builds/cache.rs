//! Caches that builds keep for the next ones.

use std::collections::BTreeSet;

use domain::AppName;
use domain::build::{BuildJob, BuildKind};
use testkit::{WAIT_MAX, wait_until};

use super::{BuildLimits, BuildSubject, built, job, with_hook};

/// A build without a cache removes what was kept.
pub async fn a_buildpack_cache_is_kept_for_the_next_build_until_one_goes_without<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let mut job = job(&subject, BuildKind::Buildpack);
    let hook = "#!/bin/bash\necho \"kept: [$(cat /workspace/cache/stamp 2>/dev/null)]\"\necho one >/workspace/cache/stamp\n";
    let files = with_hook(hook);

    for kept in ["kept: []", "kept: [one]"] {
        let (_, output) = built(&subject, &job, &files).await;
        assert!(output.contains(kept), "{output}");
        assert!(subject.has_cache(&job.app, job.kind).await, "{output}");
    }
    job.cache = false;
    let (_, output) = built(&subject, &job, &files).await;

    assert!(output.contains("kept: []"), "{output}");
    assert!(!subject.has_cache(&job.app, job.kind).await);
}

/// Steps of stages that are not in the image are used again too. A build without a cache removes what was kept.
pub async fn steps_before_a_changed_line_are_used_again_and_the_same_source_gives_the_same_image<
    S: BuildSubject,
>() {
    let subject = S::start(BuildLimits::default()).await;
    let mut job = job(&subject, BuildKind::Dockerfile);
    let dockerfile = format!(
        "FROM {base} AS made\nRUN cat /proc/sys/kernel/random/uuid >/tmp/made\nFROM {base}\n\
         COPY --from=made /tmp/made /made\nRUN cat /proc/sys/kernel/random/uuid >/tmp/own\nCOPY hello /hello\n",
        base = subject.base()
    );
    let build = async |job: &BuildJob, hello: &str| {
        let (built, output) =
            built(&subject, job, &[("Dockerfile", dockerfile.as_str()), ("hello", hello)]).await;
        (built.image, output)
    };

    let (first, output) = build(&job, "one").await;
    assert_eq!(cached_runs(&output), 0, "{output}");
    let (same, output) = build(&job, "one").await;
    assert_eq!((cached_runs(&output), &same), (2, &first), "{output}");
    // Of the same size, and in the same second.
    let (changed, output) = build(&job, "two").await;
    assert_eq!(cached_runs(&output), 2, "{output}");
    assert_ne!(changed, first);

    job.cache = false;
    let (_, output) = build(&job, "two").await;
    assert_eq!(cached_runs(&output), 0, "{output}");
    cache_goes(&subject, &job.app, job.kind).await;
    job.cache = true;
    let (_, output) = build(&job, "two").await;
    assert_eq!(cached_runs(&output), 0, "what was kept is gone: {output}");
}

/// Number of `RUN` steps that came from the cache: BuildKit prints `#6 [made 2/2] RUN cat`, then `#6 CACHED`, or, if a
/// later step reads their files, the layer that it fetches: `#6 sha256:...`.
fn cached_runs(output: &str) -> usize {
    let runs = output.lines().filter(|line| line.contains("] RUN "));
    let numbers: BTreeSet<_> = runs.filter_map(|line| line.trim().split(' ').next()).collect();
    let is_cached = |number: &&&str| {
        let (cached, fetched) = (format!("{number} CACHED"), format!("{number} sha256:"));
        output.lines().any(|line| line.trim() == cached || line.trim().starts_with(&fetched))
    };
    numbers.iter().filter(is_cached).count()
}

/// Caches of both kinds count; first go those that nobody has used since the process of the platform began.
pub async fn of_all_caches_the_least_recently_used_go<S: BuildSubject>() {
    let mut subject = S::start(BuildLimits { caches_max: Some(2), ..BuildLimits::default() }).await;
    let [earlier, third] = [(); 2].map(|()| job(&subject, BuildKind::Buildpack));
    let [first, second] = [(); 2].map(|()| job(&subject, BuildKind::Dockerfile));
    use_cache(&subject, &earlier).await;
    subject.deploy(&earlier.app);
    subject.take_over().await;

    use_cache(&subject, &first).await;
    use_cache(&subject, &second).await;
    cache_goes(&subject, &earlier.app, earlier.kind).await;
    assert!(has_caches(&subject, &[&first, &second]).await);

    use_cache(&subject, &first).await;
    use_cache(&subject, &third).await;
    cache_goes(&subject, &second.app, second.kind).await;
    assert!(has_caches(&subject, &[&first, &third]).await);
}

async fn use_cache<S: BuildSubject>(subject: &S, job: &BuildJob) {
    let (_, output) = match job.kind {
        BuildKind::Buildpack => {
            let hook = "#!/bin/bash\necho one >/workspace/cache/stamp\n";
            built(subject, job, &with_hook(hook)).await
        }
        BuildKind::Dockerfile => {
            let dockerfile = "FROM scratch\nCOPY hello /hello\n";
            built(subject, job, &[("Dockerfile", dockerfile), ("hello", "hi")]).await
        }
        BuildKind::Cnb => built(subject, job, &[("hello", "hi")]).await,
    };
    assert!(subject.has_cache(&job.app, job.kind).await, "{output}");
}

async fn has_caches<S: BuildSubject>(subject: &S, jobs: &[&BuildJob]) -> bool {
    for job in jobs {
        if !subject.has_cache(&job.app, job.kind).await {
            return false;
        }
    }
    true
}

/// Waits until the cache is gone: bounds are enforced after a build has ended.
async fn cache_goes<S: BuildSubject>(subject: &S, app: &AppName, kind: BuildKind) {
    let what = format!("the {kind:?} cache of {app} is gone");
    wait_until(&what, WAIT_MAX, async || !subject.has_cache(app, kind).await).await;
}
