//! Builds from a Dockerfile.

use std::collections::BTreeMap;

use domain::build::{BuildKind, BuiltImage};

use super::{
    BuildLimits, BuildSubject, OUTWARD_LINKS, build, build_source, built, job, nothing_is_left, one_off,
    source_with_links,
};
use crate::{JobError, Jobs as _};

/// A file of a case of `e2e/cases`.
pub fn case(name: &str, file: &str) -> String {
    let path = format!("{}/../../e2e/cases/{name}/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// It shares the layers of its base, and runs.
pub async fn a_dockerfile_build_ends_as_an_image_with_its_ports_and_user<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = job(&subject, BuildKind::Dockerfile);
    let dockerfile = format!(
        "FROM {}\nRUN echo made >/tmp/made\nCOPY hello /hello\nEXPOSE 9090 8080/tcp\nUSER 1001\n\
         ENTRYPOINT [\"/bin/cat\"]\nCMD [\"/tmp/made\", \"/hello\"]\n",
        subject.base()
    );

    let (built, output) = built(&subject, &job, &[("Dockerfile", &dockerfile), ("hello", "hi\n")]).await;

    let BuiltImage { image, ports, user, process_types } = built;
    assert_eq!((ports, user.as_str(), process_types), (vec![8080, 9090], "1001", BTreeMap::new()));
    assert!(output.contains("COPY hello /hello"), "{output}");
    let (base, own) = (subject.base_layers().await, subject.layers(&job.app, &image).await);
    assert!(own.starts_with(&base) && own.len() == base.len() + 2, "{own:?} on {base:?}");
    nothing_is_left(&subject).await;

    let finished = subject.jobs().run(&one_off(&job.app, image)).await.expect("it runs");
    assert_eq!((finished.exit_code, finished.output.as_str()), (0, "made\nhi\n"));
}

/// No frontend is loaded for a `# syntax=` line.
pub async fn heredocs_mounts_and_links_of_buildkit_are_understood<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let dockerfile = format!(
        "# syntax=registry.invalid/frontend:1\nFROM {} AS made\nUSER root\nRUN <<EOF\nset -e\n\
         echo heredoc > /srv/here\nchown 1234:1234 /srv/here\nEOF\n\
         RUN --mount=type=cache,target=/kept --mount=type=bind,source=hello,target=/bound cat /bound > /srv/bound\n\
         FROM scratch\nCOPY --link --chmod=640 --from=made /srv /srv\n",
        subject.base()
    );

    let files = [("Dockerfile", dockerfile.as_str()), ("hello", "hi")];
    let (_, output) = built(&subject, &job(&subject, BuildKind::Dockerfile), &files).await;

    assert!(output.contains("COPY --link --chmod=640"), "{output}");
}

/// Patterns, comments and exceptions of `.dockerignore` hold.
pub async fn what_dockerignore_names_is_not_in_the_image<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let paths = [
        "Dockerfile",
        ".dockerignore",
        ".env",
        "secrets/key",
        "notes.txt",
        "docs/draft.md",
        "docs/keep.md",
        "app.py",
    ];
    let contents = paths.map(|path| case("13-dockerignore", path).replace("deis/stack", subject.base()));
    let files: Vec<_> = paths.iter().zip(&contents).map(|(path, text)| (*path, text.as_str())).collect();

    let (_, output) = built(&subject, &job(&subject, BuildKind::Dockerfile), &files).await;

    let listed: Vec<_> = output.lines().filter_map(|line| Some(line.split_once(" ./")?.1)).collect();
    assert_eq!(listed, [".dockerignore", "Dockerfile", "app.py", "docs/keep.md"], "{output}");
}

/// Their targets are those of the image, not of the machine.
pub async fn links_that_lead_out_of_the_source_are_copied_and_lead_nowhere<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let dockerfile = format!(
        "FROM {}\nCOPY . /src\nRUN find /src -type l | sort; cat /src/log || echo nothing\n",
        subject.base()
    );

    let source = source_with_links(&[("Dockerfile", &dockerfile)], OUTWARD_LINKS);
    let (built, output) = build_source(&subject, &job(&subject, BuildKind::Dockerfile), source).await;

    assert!(built.is_ok(), "{built:?}: {output}");
    for text in [" /src/log", " /src/site/img/pictures", " /src/etc", " nothing"] {
        assert!(output.lines().any(|line| line.ends_with(text)), "{text}: {output}");
    }
}

/// The exit code of the step is that of the build.
pub async fn a_failing_step_tells_its_output_and_its_exit_code<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let dockerfile = format!("FROM {}\nRUN echo step-output; exit 7\n", subject.base());

    let (built, output) =
        build(&subject, &job(&subject, BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;

    assert!(matches!(built, Err(JobError::Failed { exit_code: 7 })), "{built:?}: {output}");
    assert!(output.contains("step-output"), "{output}");
    assert!(output.contains("did not complete successfully: exit code: 7"), "{output}");
}

/// BuildKit's own words reach the pusher.
pub async fn a_dockerfile_that_cannot_be_read_is_told_with_its_line<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;

    for (files, said) in [
        (&[("Dockerfile", "FROM scratch\nFOO bar\n")][..], "\nUnknown instruction: FOO"),
        (&[("README", "no Dockerfile")], "Dockerfile: no such file or directory"),
    ] {
        let (built, output) = build(&subject, &job(&subject, BuildKind::Dockerfile), files).await;
        assert!(matches!(built, Err(JobError::Failed { exit_code: 1 })), "{built:?}: {output}");
        assert!(output.contains(said), "{output}");
    }
    nothing_is_left(&subject).await;
}

/// Else a Dockerfile gets no variable of the config.
pub async fn build_arguments_come_from_the_config_where_the_app_wants_that<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let dockerfile = format!(
        "FROM {}\nARG COLOR=none\nENV SHOWN=$COLOR\nENTRYPOINT [\"/bin/sh\", \"-c\", \"echo $SHOWN\"]\n",
        subject.base()
    );
    let mut job = job(&subject, BuildKind::Dockerfile);
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    for (build_args, color) in [(false, "none\n"), (true, "teal\n")] {
        job.dockerfile.build_args = build_args;
        let (built, _) = built(&subject, &job, &[("Dockerfile", &dockerfile)]).await;
        let finished = subject.jobs().run(&one_off(&job.app, built.image)).await.expect("it runs");
        assert_eq!(finished.output, color);
    }
}
