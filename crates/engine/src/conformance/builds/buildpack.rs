//! Builds by buildpacks.

use std::collections::BTreeMap;

use domain::ProcessType;
use domain::build::BuildKind;

use super::{
    BuildLimits, BuildSubject, OUTWARD_LINKS, build, build_source, built, job, nothing_is_left, slug_command,
    source_with_links,
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
