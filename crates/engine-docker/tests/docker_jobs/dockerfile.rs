//! Builds from a Dockerfile.

use std::collections::BTreeMap;

use domain::build::{BuildJob, BuildKind, BuiltImage};
use engine::{JobError, Jobs as _};

use crate::sources::{OUTWARD_LINKS, source, source_with_links};
use crate::world::{STACK_IMAGE, World, app, base_image, docker, job, need_stack};

fn dockerfile_job() -> BuildJob {
    job(BuildKind::Dockerfile)
}

/// A file of a case.
fn case(name: &str, file: &str) -> String {
    let path = format!("{}/../../e2e/cases/{name}/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A build that succeeds, and its output.
async fn built(world: &World, files: &[(&str, &str)]) -> (BuiltImage, String) {
    let (built, output) = world.build(&dockerfile_job(), files).await;
    (built.unwrap_or_else(|error| panic!("{error}: {output}")), output)
}

#[tokio::test]
async fn a_dockerfile_build_ends_as_an_image_with_its_ports_and_user() {
    let world = World::new().await;
    let dockerfile = "FROM scratch\nCOPY hello /hello\nEXPOSE 9090 8080/tcp\nUSER 1001\nCMD [\"/hello\"]\n";

    let (built, output) = built(&world, &[("Dockerfile", dockerfile), ("hello", "hi")]).await;

    let BuiltImage { image, ports, user, process_types } = built;
    assert_eq!((ports, user.as_str(), process_types), (vec![8080, 9090], "1001", BTreeMap::new()));
    assert!(output.contains("COPY hello /hello"), "{output}");
    let name = format!("{}:{}", world.repository("blog"), image.digest().hex());
    let id = world.docker(&["image", "inspect", "--format", "{{.Id}}", &name]);
    assert_eq!(id.len(), 1, "Docker has {name}");
    world.no_container_is_left().await;
}

#[tokio::test]
async fn an_image_on_a_listed_base_shares_its_layers_and_runs() {
    let base = base_image();
    let world = World::new().await;
    let dockerfile = format!("FROM {base}\nRUN echo made >/tmp/made\nENTRYPOINT [\"/bin/cat\"]\n");

    let (built, _) = built(&world, &[("Dockerfile", &dockerfile)]).await;

    let name = format!("{}:{}", world.repository("blog"), built.image.digest().hex());
    assert_eq!(docker(&["run", "--rm", &name, "/tmp/made"]), ["made"]);
    let layers = |image: &str| {
        docker(&["image", "inspect", "--format", "{{range .RootFS.Layers}}{{println .}}{{end}}", image])
    };
    let (own, listed) = (layers(&name), layers(base));
    assert!(own.starts_with(&listed) && own.len() == listed.len() + 1, "{own:?}");
}

#[tokio::test]
async fn heredocs_mounts_and_links_of_buildkit_are_understood() {
    let base = base_image();
    let world = World::new().await;
    let dockerfile = format!(
        "# syntax=registry.invalid/frontend:1\nFROM {base} AS made\nUSER root\nRUN <<EOF\nset -e\n\
         echo heredoc > /srv/here\nchown 1234:1234 /srv/here\nEOF\n\
         RUN --mount=type=cache,target=/kept --mount=type=bind,source=hello,target=/bound cat /bound > /srv/bound\n\
         FROM scratch\nCOPY --link --chmod=640 --from=made /srv /srv\n"
    );

    let (_, output) = built(&world, &[("Dockerfile", &dockerfile), ("hello", "hi")]).await;

    assert!(output.contains("COPY --link --chmod=640"), "{output}");
}

#[tokio::test]
async fn what_dockerignore_names_is_not_in_the_image() {
    let base = base_image();
    let world = World::new().await;
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
    let contents = paths.map(|path| case("13-dockerignore", path).replace("deis/stack", base));
    let files: Vec<_> = paths.iter().zip(&contents).map(|(path, text)| (*path, text.as_str())).collect();

    let (_, output) = built(&world, &files).await;

    let listed: Vec<_> = output.lines().filter_map(|line| Some(line.split_once(" ./")?.1)).collect();
    assert_eq!(listed, [".dockerignore", "Dockerfile", "app.py", "docs/keep.md"], "{output}");
}

#[tokio::test]
async fn links_that_lead_out_of_the_source_are_copied_and_lead_nowhere() {
    let base = base_image();
    let world = World::new().await;
    let dockerfile =
        format!("FROM {base}\nCOPY . /src\nRUN find /src -type l | sort; cat /src/log || echo nothing\n");

    let source = source_with_links(&[("Dockerfile", &dockerfile)], OUTWARD_LINKS);
    let (built, output) = world.build_source(&dockerfile_job(), source).await;

    assert!(built.is_ok(), "{built:?}: {output}");
    for text in [" /src/log", " /src/site/img/pictures", " /src/etc", " nothing"] {
        assert!(output.lines().any(|line| line.ends_with(text)), "{text}: {output}");
    }
}

#[tokio::test]
async fn a_failing_step_tells_its_output_and_its_exit_code() {
    let base = base_image();
    let world = World::new().await;
    let dockerfile = format!("FROM {base}\nRUN echo step-output; exit 7\n");

    let (built, output) = world.build(&dockerfile_job(), &[("Dockerfile", &dockerfile)]).await;

    assert!(matches!(built, Err(JobError::Failed { exit_code: 7 })), "{built:?}");
    assert!(output.contains("step-output"), "{output}");
    assert!(output.contains("did not complete successfully: exit code: 7"), "{output}");
}

#[tokio::test]
async fn a_dockerfile_that_cannot_be_read_is_told_with_its_line() {
    let world = World::new().await;

    for (files, said) in [
        (&[("Dockerfile", "FROM scratch\nFOO bar\n")][..], "\nUnknown instruction: FOO"),
        (&[("README", "no Dockerfile")], "Dockerfile: no such file or directory"),
    ] {
        let (built, output) = world.build(&dockerfile_job(), files).await;
        assert!(matches!(built, Err(JobError::Failed { exit_code: 1 })), "{built:?}");
        assert!(output.contains(said), "{output}");
    }
}

/// An image of another app, one of another platform, and one of the machine's own: all in Docker's store.
#[tokio::test]
async fn images_of_docker_do_not_exist_for_a_build_whatever_it_calls_them() {
    let base = base_image();
    let world = World::new().await;
    let secret = [("Dockerfile", "FROM scratch\nCOPY secret /secret\n"), ("secret", "of another app")];
    let other = BuildJob { app: app("shop"), ..dockerfile_job() };
    let (shop, output) = world.build(&other, &secret).await;
    let hex = shop.expect(&output).image.digest().hex().to_owned();
    let named = format!("{}:{hex}", world.repository("shop"));
    let id = docker(&["image", "inspect", "--format", "{{.Id}}", &named])[0].replace("sha256:", "");
    let foreign = format!("host-{}:latest", world.instance);
    docker(&["tag", &named, &foreign]);

    let mut tries = Vec::new();
    for image in [named.as_str(), &foreign, &id, &id[..12], &format!("sha256:{id}")] {
        tries.push(format!("FROM {image}\n"));
        tries.push(format!("FROM scratch\nCOPY --from={image} /secret /secret\n"));
    }
    for name in
        ["argument", "copy", "escaped-flag", "from", "heredoc", "id", "mount", "onbuild", "other-escape"]
    {
        let text = case("40-images-of-others", &format!("{name}.Dockerfile"));
        let text = text.replace("SHOP_ID", &id).replace("SHOP", &named);
        tries.push(text.replace("deis/stack", base));
    }
    for dockerfile in tries {
        let (built, output) = world.build(&dockerfile_job(), &[("Dockerfile", &dockerfile)]).await;
        assert!(matches!(built, Err(JobError::Failed { .. })), "{dockerfile}\n{built:?}\n{output}");
        assert!(!output.contains("of another app"), "{dockerfile}\n{output}");
    }
    docker(&["rmi", &foreign]);
}

#[tokio::test]
async fn an_image_that_the_operator_lists_is_a_base() {
    let first = World::new().await;
    let (made, _) =
        built(&first, &[("Dockerfile", "FROM scratch\nCOPY given /given\n"), ("given", "x")]).await;
    let name = format!("{}:{}", first.repository("blog"), made.image.digest().hex());
    let listed = format!("bases-{}/given:v1", first.instance);
    docker(&["tag", &name, &listed]);
    let world = World::with(|settings| settings.base_images.push(listed.clone())).await;
    let dockerfile = format!("FROM {listed}\nCOPY --from={listed} /given /again\n");

    let (_, output) = built(&world, &[("Dockerfile", &dockerfile)]).await;

    assert!(output.contains("COPY --from="), "{output}");
    let volumes =
        docker(&["volume", "ls", "--quiet", "--filter", &format!("label=io.deis.base-image={listed}")]);
    assert_eq!(volumes.len(), 1);
    docker(&["rmi", &listed]);
    world.none_is_left(&["ps", "--all", "--quiet", "--filter", &format!("volume={}", volumes[0])]).await;
    docker(&["volume", "rm", &volumes[0]]);
}

#[tokio::test]
async fn build_arguments_come_from_the_config_where_the_app_wants_that() {
    let world = World::new().await;
    let dockerfile = "FROM scratch\nARG COLOR=none\nLABEL color=$COLOR\n";
    let mut job = dockerfile_job();
    job.env.insert("COLOR".to_owned(), "teal".to_owned());

    for (build_args, color) in [(false, "none"), (true, "teal")] {
        job.dockerfile.build_args = build_args;
        let (built, output) = world.build(&job, &[("Dockerfile", dockerfile)]).await;
        let digest = built.expect(&output).image.digest().hex().to_owned();
        let name = format!("{}:{digest}", world.repository("blog"));
        let label = world.docker(&["image", "inspect", "--format", "{{.Config.Labels.color}}", &name]);
        assert_eq!(label, [color]);
    }
}

/// User code is root of a user namespace alone: it has no right on the machine, and none to get one.
#[tokio::test]
async fn a_step_has_no_right_outside_its_namespaces() {
    let base = base_image();
    let world = World::new().await;
    let dockerfile = format!(
        "FROM {base}\nUSER root\nRUN echo \"map $(head -1 /proc/self/uid_map | tr -s ' ')\"\n\
         RUN grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status\n\
         RUN ! unshare --user true && ! mount -t tmpfs none /mnt && ! chroot / true 2>/dev/null || \
         echo \"some right\"\n\
         RUN ls /var/lib/buildkit /workspace /bases 2>&1 | head -3; ls /proc | grep -c '^[0-9]'\n"
    );

    let (_, output) = built(&world, &[("Dockerfile", &dockerfile)]).await;

    assert!(output.contains(" 0 1000 1\n"), "root of a step is no root of the machine: {output}");
    assert!(output.contains("NoNewPrivs:\t1") && output.contains("Seccomp:\t2"), "{output}");
    assert!(output.contains("cannot access '/var/lib/buildkit'"), "{output}");
}

#[tokio::test]
async fn a_second_build_takes_the_layers_of_the_first_unless_the_cache_is_off() {
    let base = base_image();
    let world = World::new().await;
    let dockerfile = format!("FROM {base}\nRUN echo step\n");
    let files = [("Dockerfile", dockerfile.as_str())];

    built(&world, &files).await;
    let (_, again) = built(&world, &files).await;
    assert!(again.contains("CACHED"), "{again}");

    let without = BuildJob { cache: false, ..dockerfile_job() };
    let (done, output) = world.build(&without, &files).await;
    done.expect(&output);
    assert!(!output.contains("[2/2] RUN echo step\n#7 CACHED"), "{output}");
    let volume = format!("name=deis-{}-layers-blog", world.instance);
    world.none_is_left(&["volume", "ls", "--quiet", "--filter", &volume]).await;
}

#[tokio::test]
async fn a_cache_beyond_its_bound_is_pruned_also_after_a_failure() {
    need_stack();
    let bound = 64 << 20;
    let world = World::with(|settings| settings.build_caches.app_bytes_max = bound).await;
    let dockerfile = "FROM scratch AS a\nCOPY big /big\nFROM scratch\nCOPY --from=a /big /other\nFOO\n";
    let big = "x".repeat(40 << 20);

    for dockerfile in [
        dockerfile,
        dockerfile.strip_suffix("FOO\n").expect("it ends so"),
        "FROM scratch\nCOPY big /c\nCOPY nothing /\n",
    ] {
        let _ = world.build(&dockerfile_job(), &[("Dockerfile", dockerfile), ("big", &big)]).await;
    }

    let volume = format!("deis-{}-layers-blog", world.instance);
    let mount = format!("{volume}:/c:ro");
    let size =
        docker(&["run", "--rm", "--user=0:0", "--entrypoint=du", "-v", &mount, STACK_IMAGE, "-sB1", "/c"]);
    let bytes: u64 = size[0].split_once('\t').expect("du's line").0.parse().expect("a number");
    assert!(bytes <= bound, "{bytes} bytes are kept");
}

#[tokio::test]
async fn the_least_recently_used_caches_go_when_there_are_too_many() {
    let world = World::with(|settings| settings.build_caches.count_max = 1).await;
    let files = [("Dockerfile", "FROM scratch\nCOPY hello /hello\n"), ("hello", "hi")];

    built(&world, &files).await;
    let other = BuildJob { app: app("shop"), ..dockerfile_job() };
    let (done, output) = world.build(&other, &files).await;
    done.expect(&output);

    let volume = |app: &str| format!("name=deis-{}-layers-{app}", world.instance);
    world.none_is_left(&["volume", "ls", "--quiet", "--filter", &volume("blog")]).await;
    assert_eq!(docker(&["volume", "ls", "--quiet", "--filter", &volume("shop")]).len(), 1);
}

#[tokio::test]
async fn a_build_that_fills_the_disk_is_stopped() {
    let base = base_image();
    let world = World::with(|settings| settings.build_disk_bytes = 64 << 20).await;
    let dockerfile = format!("FROM {base}\nRUN dd if=/dev/zero of=/tmp/big bs=1M count=200; sleep 500\n");

    let slow = BuildJob { deadline_seconds: 600, ..dockerfile_job() };
    let (built, _) = world.build(&slow, &[("Dockerfile", &dockerfile)]).await;

    let reason = built.expect_err("it is stopped").to_string();
    assert!(reason.contains("64 MB of disk"), "{reason}");
    world.no_container_is_left().await;
}

#[tokio::test]
async fn a_step_that_takes_too_much_memory_is_told_its_bound() {
    let base = base_image();
    let world = World::with(|settings| settings.build_memory_bytes = 256 << 20).await;
    let dockerfile = format!("FROM {base}\nRUN dd if=/dev/zero of=/dev/null bs=400M count=1\n");

    let (built, _) = world.build(&dockerfile_job(), &[("Dockerfile", &dockerfile)]).await;

    let reason = built.expect_err("it is killed").to_string();
    assert!(reason.contains("256 MB of memory"), "{reason}");
}

#[tokio::test]
async fn a_dockerfile_build_ends_at_its_deadline_and_leaves_nothing() {
    let base = base_image();
    let world = World::new().await;
    let warm = format!("FROM {base}\n");
    built(&world, &[("Dockerfile", &warm)]).await;
    let dockerfile = format!("FROM {base}\nRUN echo {}; sleep 600\n", world.instance);
    let mut job = dockerfile_job();
    job.deadline_seconds = 30;

    let (built, output) = world.build(&job, &[("Dockerfile", &dockerfile)]).await;

    assert!(matches!(built, Err(JobError::TimedOut { seconds: 30 })), "{built:?}");
    assert!(output.contains(&world.instance), "the step has begun: {output}");
    world.no_container_is_left().await;
}

#[tokio::test]
async fn a_build_whose_caller_goes_away_leaves_no_container() {
    let base = base_image();
    let world = World::new().await;
    let dockerfile = format!("FROM {base}\nRUN sleep 600\n");
    let (sender, mut output) = tokio::sync::mpsc::channel(64);

    {
        let job = dockerfile_job();
        let building = world.engine.build(&job, source(&[("Dockerfile", &dockerfile)]), sender);
        let begun = async {
            while let Some(chunk) = output.recv().await {
                if String::from_utf8_lossy(&chunk).contains("RUN sleep") {
                    return;
                }
            }
        };
        tokio::select! {
            built = building => panic!("it goes on: {built:?}"),
            () = begun => {}
        }
    }

    world.no_container_is_left().await;
}
