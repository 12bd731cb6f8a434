//! Dockerfile builds, as far as they are of Docker: images of its store, the operator's bases, its volumes, its disk.

use domain::build::{BuildJob, BuildKind};
use engine::conformance::builds::{build, built, case, is_no_base, job, nothing_is_left};
use testkit::docker::{docker, image_id};

use crate::machine::{STACK_IMAGE, list_becomes};
use crate::world::{BASE_IMAGE, World};

/// However the Dockerfile is written.
#[tokio::test]
async fn images_of_docker_do_not_exist_for_a_build_whatever_it_calls_them() {
    let world = World::new().await;
    let secret = [("Dockerfile", "FROM scratch\nCOPY secret /secret\n"), ("secret", "of another app")];
    let other = job(&world, BuildKind::Dockerfile);
    let (shop, _) = built(&world, &other, &secret).await;
    let named = world.name(&other.app, &shop.image);
    let id = image_id(&named).replace("sha256:", "");
    let own = job(&world, BuildKind::Dockerfile);

    for name in
        ["argument", "copy", "escaped-flag", "from", "heredoc", "id", "mount", "onbuild", "other-escape"]
    {
        let text = case("40-images-of-others", &format!("{name}.Dockerfile"));
        let text = text.replace("SHOP_ID", &id).replace("SHOP", &named);
        is_no_base(&world, &own, &text.replace("deis/stack", BASE_IMAGE)).await;
    }
}

#[tokio::test]
async fn an_image_that_the_operator_lists_is_a_base() {
    let first = World::new().await;
    let making = job(&first, BuildKind::Dockerfile);
    let files = [("Dockerfile", "FROM scratch\nCOPY given /given\n"), ("given", "x")];
    let (made, _) = built(&first, &making, &files).await;
    let listed = format!("bases-{}/given:v1", first.instance.0);
    docker(&["tag", &first.name(&making.app, &made.image), &listed]);
    let world = World::with(|settings| settings.base_images.push(listed.clone())).await;
    let dockerfile = format!("FROM {listed}\nCOPY --from={listed} /given /again\n");

    let (_, output) =
        built(&world, &job(&world, BuildKind::Dockerfile), &[("Dockerfile", &dockerfile)]).await;

    assert!(output.contains("COPY --from="), "{output}");
    let volumes =
        docker(&["volume", "ls", "--quiet", "--filter", &format!("label=io.deis.base-image={listed}")]);
    assert_eq!(volumes.len(), 1);
    docker(&["rmi", &listed]);
    let users = format!("volume={}", volumes[0]);
    list_becomes(|| docker(&["ps", "--all", "--quiet", "--filter", &users]), <[String]>::is_empty).await;
    docker(&["volume", "rm", &volumes[0]]);
}

#[tokio::test]
async fn a_cache_beyond_its_bound_is_pruned_also_after_a_failure() {
    let bound = 64 << 20;
    let world = World::with(|settings| settings.build_caches.app_bytes_max = bound).await;
    let dockerfile = "FROM scratch AS a\nCOPY big /big\nFROM scratch\nCOPY --from=a /big /other\nFOO\n";
    let big = "x".repeat(40 << 20);
    let job = job(&world, BuildKind::Dockerfile);

    for dockerfile in [
        dockerfile,
        dockerfile.strip_suffix("FOO\n").expect("it ends so"),
        "FROM scratch\nCOPY big /c\nCOPY nothing /\n",
    ] {
        let _ = build(&world, &job, &[("Dockerfile", dockerfile), ("big", &big)]).await;
    }

    let volume = world.instance.volumes(&format!("-layers-{}", job.app)).concat();
    let mount = format!("{volume}:/c:ro");
    let size =
        docker(&["run", "--rm", "--user=0:0", "--entrypoint=du", "-v", &mount, STACK_IMAGE, "-sB1", "/c"]);
    let bytes: u64 = size[0].split_once('\t').expect("du's line").0.parse().expect("a number");
    assert!(bytes <= bound, "{bytes} bytes are kept");
}

#[tokio::test]
async fn a_build_that_fills_the_disk_is_stopped() {
    let world = World::with(|settings| settings.build_disk_bytes = 64 << 20).await;
    let dockerfile =
        format!("FROM {BASE_IMAGE}\nRUN dd if=/dev/zero of=/tmp/big bs=1M count=200; sleep 500\n");

    let slow = BuildJob { deadline_seconds: 600, ..job(&world, BuildKind::Dockerfile) };
    let (built, _) = build(&world, &slow, &[("Dockerfile", &dockerfile)]).await;

    let reason = built.expect_err("it is stopped").to_string();
    assert!(reason.contains("64 MB of disk"), "{reason}");
    nothing_is_left(&world).await;
}
