//! Random annotations: settings of routers and apps are read or reported, and harm nothing else.
//!
//! `cargo xtask fuzz annotations --minutes N` runs for longer than a test may, from a seed of its own:
//! `WORKFLOW_FUZZ_SECONDS` and `WORKFLOW_FUZZ_SEED` pass both.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use domain::AppName;
use domain::annotations::{AnnotationReader, Annotations};
use domain::edge::{AppRules, RouterRules, SiteRules, app_keys, app_rules, router_keys, router_rules};
use domain::routing::{Route, RouteOwner};
use proptest::collection::btree_map;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Cases of an ordinary run, and of each round of a longer one.
const CASES: u32 = 2_000;
const PREFIX: &str = "router.deis.io/";
const YEAR: Duration = Duration::from_secs(366 * 86_400);
/// Kubernetes shows no longer message at an object.
const COMPLAINT_BYTES_MAX: usize = 512;

/// Lists of which valid entries count and invalid ones are reported.
const LISTS: [&str; 2] = ["proxyRealIpCidrs", "defaultWhitelist"];

const VALUES: [&str; 34] = [
    "true",
    "FALSE",
    "On",
    "off",
    "yes",
    "0",
    "1",
    "-1",
    "+1",
    "1.5",
    "007",
    "18446744073709551616",
    "30s",
    "500ms",
    "1h 30m",
    "9999999999y",
    "18446744073709551615ms 18446744073709551615ms",
    "5 fortnights",
    "s",
    "1g",
    "99999999999g",
    "k",
    "10.0.0.0/8",
    "10.0.0.0/33, ::1/128,,office",
    "fe80::%eth0",
    "text/html *",
    "nothing",
    "extend",
    "Override",
    "TLSv1 TLSv1.2",
    "TLSv1.3",
    "same-origin",
    "none",
    "a-good-name",
];

fn texts(keys: BTreeSet<&'static str>) -> impl Strategy<Value = Annotations> {
    let keys: Vec<_> = keys.into_iter().collect();
    let key = prop_oneof![9 => select(keys).prop_map(str::to_owned), 1 => "[a-zA-Z.]{0,12}"];
    let value = prop_oneof![
        6 => select(&VALUES[..]).prop_map(str::to_owned),
        2 => (select(&VALUES[..]), "[ \t,;.0-9a-zA-Z/:-]{0,6}").prop_map(|(value, more)| format!("{more}{value}{more}")),
        1 => any::<String>(),
        1 => (select(&VALUES[..]), 1..5_000usize).prop_map(|(value, times)| format!("{value} ").repeat(times)),
    ];
    btree_map(key.prop_map(|key| format!("{PREFIX}{key}")), value, 0..10)
}

fn read_app(texts: &Annotations) -> (AppRules, Vec<String>) {
    let mut reader = AnnotationReader::new(texts, PREFIX);
    (app_rules(&mut reader), reader.into_wrong())
}

/// All but those that were complained of.
fn readable(texts: &Annotations, wrong: &[String]) -> Annotations {
    let is_wrong = |name: &str| {
        let is_list = LISTS.iter().any(|list| name.ends_with(list));
        !is_list
            && wrong
                .iter()
                .any(|line| line.contains(&format!(" in {name}: ")) || line.starts_with(&format!("{name} ")))
    };
    texts
        .iter()
        .filter(|(name, _)| !is_wrong(name))
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect()
}

fn check(router: &Annotations, app: &Annotations) -> Result<(), TestCaseError> {
    let (rules, wrong) = router_rules(router, PREFIX);
    let (own, own_wrong) = read_app(app);

    // Only the settings with a complaint are left out.
    prop_assert_eq!(&router_rules(&readable(router, &wrong), PREFIX).0, &rules);
    prop_assert_eq!(&read_app(&readable(app, &own_wrong)).0, &own);
    for line in wrong.iter().chain(&own_wrong) {
        prop_assert!(line.contains(PREFIX) && line.len() <= COMPLAINT_BYTES_MAX, "{}", line);
    }
    prop_assert!((1..=9).contains(&rules.gzip.level));
    prop_assert!(rules.default_app.as_ref().is_none_or(|name| AppName::parse(name).is_ok()));
    check_site(&rules, own)
}

/// The effective settings of an app must be usable by a router.
fn check_site(rules: &RouterRules, own: AppRules) -> Result<(), TestCaseError> {
    let owner = RouteOwner::Platform("x".to_owned());
    let route = Route { rules: own, ..Route::plain(owner, "x.test".to_owned(), Vec::new()) };
    let site = SiteRules::of(rules, &route);

    for time in [Some(site.timeout), site.connect_timeout].into_iter().flatten() {
        prop_assert!(!time.is_zero() && time <= 10 * YEAR, "{:?}", time);
        prop_assert!(Instant::now().checked_add(time).is_some());
    }
    prop_assert!(site.body_bytes_max != Some(0));
    prop_assert!(site.hsts.is_none() || site.https_enforced);
    for value in [&site.hsts, &site.referrer_policy].into_iter().flatten() {
        prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{}", value);
    }
    Ok(())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn whatever_is_written_is_read_or_told_and_harms_nothing_else() {
    let seed = number("WORKFLOW_FUZZ_SEED").unwrap_or(1);
    let end = number("WORKFLOW_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    println!("seed {seed}");
    for round in 0.. {
        let mut start = [0; 32];
        start[..8].copy_from_slice(&seed.to_le_bytes());
        start[8..16].copy_from_slice(&u64::to_le_bytes(round));
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &start));
        let tried =
            runner.run(&(texts(router_keys()), texts(app_keys())), |(router, app)| check(&router, &app));
        if let Err(failure) = tried {
            panic!("seed {seed}, round {round}: {failure}");
        }
        if end.is_none_or(|end| Instant::now() >= end) {
            println!("{} annotated objects", (round + 1) * u64::from(CASES));
            return;
        }
    }
}
