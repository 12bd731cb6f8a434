//! Builds by buildpacks.

use std::collections::BTreeMap;

use domain::build::BuildKind;
use domain::stacks::StackName;
use domain::{Digest, Image, ProcessType};

use super::{
    BuildLimits, BuildSubject, NEWER_STACK, OUTWARD_LINKS, build, build_source, built, job, nothing_is_left,
    slug_command, source_with_links,
};
use crate::{JobError, Jobs as _};

/// An app without a language.
pub const PROCFILE_APP: &[(&str, &str)] =
    &[("Procfile", "web: ./bin/serve\n"), ("bin/serve", "#!/bin/bash\necho serving $1\n")];

/// The app, with a script that its build runs first.
pub fn with_hook(hook: &str) -> Vec<(&str, &str)> {
    [PROCFILE_APP, &[("bin/pre-compile", hook)]].concat()
}

/// It runs, and the same source gives the same image.
pub async fn a_buildpack_build_ends_as_the_stack_and_one_layer<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = job(&subject, BuildKind::Buildpack);

    let (first, output) = built(&subject, &job, PROCFILE_APP).await;
    let (second, _) = built(&subject, &job, PROCFILE_APP).await;

    assert_eq!((first.ports.as_slice(), first.user.as_str()), (&[5000][..], "2000:2000"));
    let web = BTreeMap::from([(ProcessType::web(), "./bin/serve".to_owned())]);
    assert_eq!(first.process_types, web);
    assert_eq!(second, first, "the same source gives the same image");
    assert!(output.contains("Compiled slug size"), "{output}");
    let (stack, own) = (subject.stack_layers().await, subject.layers(&job.app, &first.image).await);
    assert!(own.starts_with(&stack) && own.len() == stack.len() + 1, "{own:?} on {stack:?}");
    nothing_is_left(&subject).await;

    let run = slug_command(&job.app, first.image, "./bin/serve once");
    let finished = subject.jobs().run(&run).await.expect("the slug starts");
    assert_eq!((finished.exit_code, finished.output.as_str()), (0, "serving once\n"));
}

/// A build sees such links, and the slug has them.
pub async fn links_that_lead_out_of_the_source_are_in_the_slug_as_they_are<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = job(&subject, BuildKind::Buildpack);
    let told = "#!/bin/bash\nreadlink log site/img/pictures etc\n";
    let seen = "#!/bin/bash\n./bin/told | sed 's/^/link: /'\n";
    let files = [("Procfile", "web: ./bin/told\n"), ("bin/told", told), ("bin/post-compile", seen)];

    let (built, output) = build_source(&subject, &job, source_with_links(&files, OUTWARD_LINKS)).await;

    let image = built.unwrap_or_else(|error| panic!("{error}: {output}")).image;
    for (_, target) in OUTWARD_LINKS {
        assert!(output.contains(&format!("link: {target}\n")), "{output}");
    }
    let finished = subject.jobs().run(&slug_command(&job.app, image, "./bin/told")).await;
    let targets: String = OUTWARD_LINKS.iter().map(|(_, target)| format!("{target}\n")).collect();
    assert_eq!(finished.expect("the slug starts").output, targets);
}

/// The pusher sees the output of a build that fails.
pub async fn a_failing_buildpack_build_tells_its_output<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = job(&subject, BuildKind::Buildpack);

    let (built, output) = build(&subject, &job, &with_hook("#!/bin/bash\necho oh no\nexit 3\n")).await;

    assert!(matches!(built, Err(JobError::Failed { .. })), "{built:?}");
    assert!(output.contains("oh no"), "{output}");
    nothing_is_left(&subject).await;
}

/// Newer images of a stack, and without a build the same slug on them.
pub async fn a_slug_is_rebased_without_a_build_and_its_former_image_stays<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = job(&subject, BuildKind::Buildpack);
    let serve = [PROCFILE_APP[0], ("bin/serve", "#!/bin/bash\necho \"$1 on $STACK\"\n")];
    let former = built(&subject, &job, &serve).await.0.image;
    let newer = StackName::parse(NEWER_STACK).expect("a name");

    let rebase = async |image, stack| subject.jobs().rebase(&job.app, image, stack).await;
    let same = rebase(&former, &job.stack).await.expect("it stands on the newest images");
    let rebased = rebase(&former, &newer).await.expect("it is rebased");
    let again = rebase(&rebased, &newer).await.expect("it stands on the newest images");

    assert_eq!((&same, &again), (&former, &rebased));
    assert_ne!(rebased, former);
    let layers = async |image| subject.layers(&job.app, image).await;
    assert_eq!(layers(&rebased).await.last(), layers(&former).await.last(), "the slug is the same");
    for (image, expected) in
        [(rebased, "web on newer\n".to_owned()), (former, format!("web on {}\n", job.stack))]
    {
        let run = slug_command(&job.app, image, "./bin/serve web");
        assert_eq!(subject.jobs().run(&run).await.expect("the slug starts").output, expected);
    }
    nothing_is_left(&subject).await;
}

/// The error says so, and what to do.
pub async fn what_is_no_slug_is_not_rebased<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = job(&subject, BuildKind::Dockerfile);
    let dockerfile = format!("FROM {}\nCMD [\"true\"]\n", subject.base());
    let image = built(&subject, &job, &[("Dockerfile", &dockerfile)]).await.0.image;
    let gone = Image::Built { app: job.app.clone(), digest: Digest::of(b"gone") };

    for (image, part) in [(image, "was not made by a buildpack"), (gone, "is gone; push once")] {
        match subject.jobs().rebase(&job.app, &image, &job.stack).await {
            Err(JobError::Refused { reason }) => assert!(reason.contains(part), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}
