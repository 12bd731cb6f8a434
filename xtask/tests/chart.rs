//! The Helm chart as Helm sees it: lint, and what it makes of some sets of values, as snapshots.
//!
//! Helm is found in `PATH`; `cargo xtask cluster up` builds it, and `cargo xtask test` runs these.

use std::path::Path;
use std::process::{Command, Output};

const TRIAL: &[&str] = &["domain=apps.example.com"];

const PRODUCTION: &[&str] = &[
    "domain=apps.example.com",
    "database.existingSecret=workflow-database",
    "secrets.sealingKey.existingSecret=workflow-sealing",
    "controller.replicas=2",
    "controller.drainSeconds=600",
    "controller.domainProof=txt",
    "controller.dnsServers={192.0.2.53}",
    "registry.storage.type=s3",
    "registry.storage.existingSecret=workflow-images",
    "builds.env.HTTPS_PROXY=http://proxy.example.com:3128",
    "builds.caBundle=PEM",
    "acme.email=operator@example.com",
    "acme.termsAgreed=true",
    "acme.caBundle=PEM",
    "apps.defaultQuota.hard.pods=20",
    "apps.revisionHistoryLimit=3",
    "apps.ignoreSchedulingFailure=true",
    "ldap.endpoint=ldaps://ldap.example.com",
    "ldap.caBundle=PEM",
    "ldap.bindDN=cn=workflow",
    "ldap.existingSecret=workflow-ldap",
    "ldap.userBaseDN=ou=people",
    "networkPolicies.nodeCIDRs={10.0.0.0/16}",
    "networkPolicies.metricsFrom[0].namespaceSelector.matchLabels.team=monitoring",
];

const EXTERNAL_REGISTRY: &[&str] = &[
    "domain=apps.example.com",
    "persistence.enabled=false",
    "registry.enabled=false",
    "registry.external.host=registry.example.com/workflow",
    "registry.external.url=https://registry.example.com/workflow",
    "registry.external.username=workflow",
    "registry.external.existingSecret=workflow-registry",
    "router.hostPort.enabled=true",
    "router.service.type=ClusterIP",
    "networkPolicies.enabled=false",
];

#[test]
fn the_chart_passes_lint() {
    for values in [TRIAL, PRODUCTION, EXTERNAL_REGISTRY] {
        let output = run(&["lint", "--strict"], values);
        assert!(output.status.success(), "{values:?}\n{}", both(&output));
    }
}

#[test]
fn a_trial_becomes_these_objects() {
    let text = rendered(TRIAL);
    insta::assert_snapshot!("trial", text);
}

#[test]
fn a_production_install_becomes_these_objects() {
    let text = rendered(PRODUCTION);
    insta::assert_snapshot!("production", text);
}

#[test]
fn an_external_registry_leaves_out_ours() {
    let text = rendered(EXTERNAL_REGISTRY);
    assert!(!text.contains("deis-registry-proxy"));
    insta::assert_snapshot!("external_registry", text);
}

#[test]
fn no_container_may_more_than_it_needs() {
    let text = rendered(TRIAL);
    let count = |needle: &str| text.matches(needle).count();

    let containers = count("imagePullPolicy:");
    assert_eq!(containers, 7, "a role more or less: look at its rights");
    assert_eq!(count("readOnlyRootFilesystem: true"), containers);
    assert_eq!(count("capabilities: { drop: [ALL] }"), containers);
    assert_eq!(count("allowPrivilegeEscalation: false"), containers);
    assert_eq!(count("type: RuntimeDefault"), containers);
    // Log files of a node are root's.
    assert_eq!(count("runAsNonRoot: true"), containers - 1);
    // The API is for controller, builder, router and log agent.
    assert_eq!(count("automountServiceAccountToken: true"), 4);
}

#[test]
fn what_cannot_be_is_refused_with_the_value_that_is_wrong() {
    for (values, named) in [
        (vec![], "domain"),
        (vec!["domain=UPPER"], "domain"),
        (vec!["domain=a.example.com", "controller.replicas=2"], "database.url"),
        (vec!["domain=a.example.com", "controler.replicas=1"], "controler"),
        (vec!["domain=a.example.com", "registry.enabled=false"], "registry.external"),
        (vec!["domain=a.example.com", "database.url=mysql://x"], "database/url"),
        (vec!["domain=a.example.com", "image.digest=sha256:12"], "image/digest"),
        (vec!["domain=a.example.com", "builds.cachesMiBMax=63"], "builds/cachesMiBMax"),
        (vec!["domain=a.example.com", "builds.cachesMax=0"], "builds/cachesMax"),
        (vec!["domain=a.example.com", "acme.email=a@b.com"], "acme.termsAgreed"),
        (vec!["domain=a.example.com", "acme.challenges={dns-01}"], "acme/challenges"),
        (vec!["domain=a.example.com", "ldap.endpoint=ldap.example.com"], "ldap/endpoint"),
        (vec!["domain=a.example.com", "ldap.endpoint=ldaps://x"], "ldap.userBaseDN"),
    ] {
        let output = run(&["template", "workflow"], &values);
        assert!(!output.status.success(), "{values:?}");
        assert!(both(&output).contains(named), "{values:?}: {}", both(&output));
    }
}

/// Manifests that Helm sends to the cluster, without random values.
fn rendered(values: &[&str]) -> String {
    let output = run(&["template", "workflow", "--namespace", "deis"], values);
    assert!(output.status.success(), "{}", both(&output));
    let text = String::from_utf8(output.stdout).expect("Helm prints text");
    text.lines().map(|line| format!("{}\n", without_secret(line))).collect()
}

fn without_secret(line: &str) -> &str {
    let name = line.trim_start().split(':').next().unwrap_or_default();
    let is_secret = matches!(name, "key" | "ssh-host-ed25519-key" | "ssh-host-ecdsa-key");
    if is_secret && line.len() > 60 { &line[..line.find(':').unwrap_or(line.len())] } else { line }
}

fn run(words: &[&str], values: &[&str]) -> Output {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/workflow");
    let mut command = Command::new("helm");
    command.args(words).arg(chart).arg("--kube-version=1.34.0");
    command.args(values.iter().flat_map(|value| ["--set", value]));
    command.output().expect("Helm runs: `cargo xtask cluster exec -- cargo test`")
}

fn both(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}
