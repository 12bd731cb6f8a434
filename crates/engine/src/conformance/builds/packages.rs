//! Packages of built images.

use std::collections::BTreeSet;

use domain::build::BuildKind;
use domain::sbom::PackageKind;

use super::{BuildLimits, BuildSubject, built, job};
use crate::ImageError;

/// Those of the base are among them; another app does not learn them.
pub async fn the_packages_of_an_image_are_those_that_no_upper_layer_removes<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let job = job(&subject, BuildKind::Dockerfile);
    let dockerfile = format!(
        "FROM {}\nUSER root\nCOPY modules /app/node_modules\n\
         RUN find /app/node_modules/removed -delete\nCOPY part /var/lib/dpkg/status.d/part\n",
        subject.base()
    );
    let module = |name: &str| format!(r#"{{"name":"{name}","version":"1.2.3"}}"#);
    let (kept, removed) = (module("kept"), module("removed"));
    let files = [
        ("Dockerfile", dockerfile.as_str()),
        ("modules/kept/package.json", kept.as_str()),
        ("modules/removed/package.json", removed.as_str()),
        ("part", "Package: part\nVersion: 1:2.0\nArchitecture: all\n"),
    ];

    let (built, _) = built(&subject, &job, &files).await;
    let packages = subject.packages(&job.app, &built.image).await.expect("it is here").packages;

    let of = |kind| -> BTreeSet<&str> {
        packages.iter().filter(|package| package.kind == kind).map(|package| package.name.as_str()).collect()
    };
    assert_eq!(of(PackageKind::Npm), BTreeSet::from(["kept"]));
    assert!(of(PackageKind::Deb).contains("part"), "{packages:?}");
    let foreign = subject.packages(&subject.new_app(), &built.image).await;
    assert!(matches!(foreign, Err(ImageError::Engine(_))), "{foreign:?}");
}

/// So the list of a buildpack app has the packages of its stack.
pub async fn the_packages_of_the_stack_are_listed<S: BuildSubject>() {
    let subject = S::start(BuildLimits::default()).await;
    let app = subject.new_app();
    let stack = subject.stack_of(&app).await;

    let inventory = subject.packages(&app, &stack).await.expect("it is here");

    assert_eq!(inventory.distribution.as_ref().map(|it| it.id.as_str()), Some("debian"));
    assert!(inventory.packages.iter().any(|package| package.name == "libc6"), "{inventory:?}");
}
