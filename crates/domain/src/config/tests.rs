//! Tests of `config`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ProcessType;
use crate::deployment::ProbeAction;

fn patch(body: Value) -> Result<ConfigPatch, ConfigError> {
    let Value::Object(groups) = body else { panic!("{body} is no object") };
    ConfigPatch::parse(&groups)
}

fn patched(before: &Config, body: Value) -> Result<Config, ConfigError> {
    before.patched(&patch(body)?, &Texts::new())
}

fn config(body: Value) -> Config {
    patched(&Config::default(), body).expect("a good config")
}

/// The one message that a patch gets.
fn fault(body: Value) -> String {
    match patch(body) {
        Err(ConfigError::Invalid(faults)) if faults.len() == 1 => faults[0].1.clone(),
        other => panic!("not one message but {other:?}"),
    }
}

#[test]
fn entries_are_added_changed_and_removed_and_others_stay() {
    let before = config(json!({"values": {"A": "1", "B": "2", "C": "3"}}));

    let after = patched(&before, json!({"values": {"B": "x", "C": null, "D": ""}}));

    assert_eq!(
        after.map(|config| config.values),
        Ok(config(json!({"values": {"A": "1", "B": "x", "D": ""}})).values)
    );
}

#[test]
fn scalars_become_texts_and_groups_may_be_texts() {
    let values = json!({"A": 5, "B": true, "C": 1.5, "D": [1, "x"], "E": "ü\nz"});

    let written = config(json!({"values": values.to_string()})).values;

    let wanted = [("A", "5"), ("B", "True"), ("C", "1.5"), ("D", r#"[1,"x"]"#), ("E", "ü\nz")];
    assert_eq!(written, wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn removing_what_is_not_set_names_the_key_and_the_group() {
    for (body, detail) in [
        (json!({"values": {"FOO": null}}), "FOO does not exist under values"),
        (json!({"values": {"not a name": null}}), "not a name does not exist under values"),
        (json!({"memory": {"web": null}}), "web does not exist under memory"),
        (json!({"healthcheck": {"web": null}}), "web does not exist under healthcheck"),
        (json!({"healthcheck": {"web": {"livenessProbe": null}}}), "web does not exist under healthcheck"),
    ] {
        assert_eq!(
            patched(&Config::default(), body).map_err(|error| error.to_string()),
            Err(detail.to_owned())
        );
    }
}

#[test]
fn what_is_no_group_is_refused() {
    assert_eq!(fault(json!({"values": null})), "This field may not be null.");
    for wrong in [json!([]), json!(5), json!("x"), json!("[]")] {
        assert_eq!(
            fault(json!({"tags": wrong})),
            "Expected an object, or a string that holds a JSON object."
        );
    }
    let faults = patch(json!({"values": {"1A": "x", "B-": "y"}, "cpu": null})).expect_err("two groups");
    assert!(matches!(faults, ConfigError::Invalid(faults) if faults.len() == 3));
}

#[test]
fn variables_have_names_and_some_have_to_be_numbers() {
    let names = "Config keys must start with a letter or underscore and only contain [A-z0-9_]";
    for name in ["1A", "", "A-B", "A.B", "ä", "A B"] {
        assert_eq!(fault(json!({"values": {name: "x"}})), names, "{name}");
    }
    for (name, value, message) in [
        ("PORT", "web", "PORT can only be a numeric value"),
        ("PORT", "", "PORT can only be a numeric value"),
        ("PORT", "0", "PORT needs to be between 1 and 65535"),
        ("PORT", "65536", "PORT needs to be between 1 and 65535"),
        ("HEALTHCHECK_TIMEOUT", "soon", "HEALTHCHECK_TIMEOUT can only be a numeric value"),
        ("DEIS_DEPLOY_TIMEOUT", "2m", "DEIS_DEPLOY_TIMEOUT can only be a numeric value"),
        ("IMAGE_PULL_POLICY", "Never", "IMAGE_PULL_POLICY can only be Always or IfNotPresent"),
        ("DEIS_EXPOSE_POD_IP", "perhaps", "DEIS_EXPOSE_POD_IP can only be true or false"),
        (
            "HEALTHCHECK_URL",
            "http://host",
            "HEALTHCHECK_URL is missing a URI path (such as /healthz). Without it no health check can be done",
        ),
        (
            "HEALTHCHECK_URL",
            "/healthz?x=1",
            "HEALTHCHECK_URL can only be a URI path (such as /healthz) that does not contain other things \
             such as query params",
        ),
        (
            "HEALTHCHECK_URL",
            "http://host/healthz",
            "HEALTHCHECK_URL can only be a URI path (such as /healthz) that does not contain other things \
             such as query params",
        ),
    ] {
        assert_eq!(fault(json!({"values": {name: value}})), message, "{name}={value}");
    }
}

#[test]
fn limits_and_grace_are_for_process_types_and_have_a_format() {
    let types = "Process types can only contain lowercase alphanumeric characters";
    for group in ["memory", "cpu", "termination_grace_period"] {
        assert_eq!(fault(json!({group: {"Web": "1"}})), types);
    }
    assert!(fault(json!({"memory": {"web": "128"}})).starts_with("Memory limit format: "));
    for small in ["1M", "4095K", "0/512B"] {
        assert_eq!(
            fault(json!({"memory": {"web": small}})),
            "Memory limit must be at least 4M, or 0 for none"
        );
    }
    assert!(fault(json!({"cpu": {"web": "x"}})).starts_with("CPU limit format: "));
    assert!(
        fault(json!({"termination_grace_period": {"web": ""}}))
            .starts_with("Termination Grace Period format: ")
    );
    let kept =
        config(json!({"memory": {"web": "1gb"}, "cpu": {"web": 1}, "termination_grace_period": {"web": 5}}));
    assert_eq!((kept.memory["web"].as_str(), kept.cpu["web"].as_str()), ("1gb", "1"));
    assert_eq!(kept.termination_grace_period["web"], "5");
}

#[test]
fn tags_are_shaped_like_labels_of_nodes() {
    let long = "a".repeat(64);
    for (key, value, message) in [
        ("a b", "x", "Tag keys must be alphanumeric or \"-_.\", and 1-63 characters."),
        (long.as_str(), "x", "Tag keys must be alphanumeric or \"-_.\", and 1-63 characters."),
        ("a/b/c", "x", "Tag keys must be alphanumeric or \"-_.\", and 1-63 characters."),
        ("-/a", "x", "Tag key prefixes must be DNS subdomains."),
        ("a", "-x", "Tag values must be alphanumeric or \"-_.\", and 1-63 characters."),
    ] {
        assert_eq!(fault(json!({"tags": {key: value}})), message, "{key}={value}");
    }
    let prefix = format!("{}/a", "a".repeat(254));
    assert_eq!(fault(json!({"tags": {prefix: "x"}})), "Tag key prefixes must 253 characters or less.");
    assert!(patch(json!({"tags": {"example.com/disk": "ssd", "a_b.c": ""}})).is_ok());
}

#[test]
fn default_tags_fill_in_where_no_tag_is_left() {
    let defaults = Texts::from([("disk".to_owned(), "ssd".to_owned())]);
    let before = Config::initial(&defaults);

    let unset = patch(json!({"tags": {"disk": null}})).and_then(|patch| before.patched(&patch, &defaults));

    assert_eq!(unset, Ok(before));
}

#[test]
fn tags_that_no_node_has_are_named_and_so_are_the_new_ones() {
    let before = config(json!({"tags": {"a": "b"}}));
    let after = patched(&before, json!({"tags": {"c": "d"}})).expect("a good config");

    assert_eq!(before.no_node_matches(&Config::default()), "No nodes matched the provided labels: a=b");
    assert_eq!(
        after.no_node_matches(&before),
        "No nodes matched the provided labels: a=b, c=d - Addition of c=d is the cause"
    );
}

#[test]
fn a_private_registry_needs_a_port_and_its_keys_are_lower_case() {
    let refused = Err(ConfigError::RegistryWithoutPort);
    assert_eq!(patched(&Config::default(), json!({"registry": {"username": "bob"}})), refused);

    let body = json!({"registry": {"USERNAME": "bob", "password": "x"}, "values": {"PORT": 80}});
    let both = config(body);

    assert_eq!(both.registry_account().map(|account| account.username), Some("bob".to_owned()));
    assert_eq!(patched(&both, json!({"values": {"PORT": null}})), refused);
}

#[test]
fn a_healthcheck_variable_becomes_two_probes() {
    let body = json!({"values": {"HEALTHCHECK_URL": "/healthz", "HEALTHCHECK_TIMEOUT": "7", "A": "1"}});

    let written = config(body);

    let probe = json!({
        "initialDelaySeconds": 50, "timeoutSeconds": 7, "periodSeconds": 10,
        "successThreshold": 1, "failureThreshold": 3, "httpGet": {"path": "/healthz"},
    });
    let probes = &written.healthcheck["web/cmd"];
    assert_eq!((&probes["livenessProbe"], &probes["readinessProbe"]), (&probe, &probe));
    assert_eq!(written.values.keys().collect::<Vec<_>>(), ["A"]);
    let cmd = super::probes(&written.healthcheck, &ProcessType::cmd(), Some(80)).expect("configured probes");
    let wanted = ProbeAction::HttpGet { port: 80, path: "/healthz".to_owned(), headers: Vec::new() };
    assert_eq!(cmd.readiness.map(|probe| probe.action), Some(wanted.clone()));
    assert_eq!(cmd.liveness.map(|probe| probe.action), Some(wanted));
}

#[test]
fn probes_are_checked_for_their_shape() {
    let probe = |name: &str, probe: Value| json!({"healthcheck": {"web": {name: probe}}});
    for (body, ending) in [
        (probe("readinessProbe", json!({"httpGet": {"path": "/"}})), "'port' is a required property"),
        (probe("readinessProbe", json!({"httpGet": {"port": "80"}})), "'80' is not of type 'integer'"),
        (
            probe("readinessProbe", json!({"httpGet": {"port": 70000}})),
            "70000 is greater than the maximum of 65535",
        ),
        (probe("readinessProbe", json!({"exec": {"command": []}})), "[] is too short"),
        (probe("readinessProbe", json!({"tcpSocket": {}})), "'port' is a required property"),
        (probe("readinessProbe", json!({"periodSeconds": -1})), "-1 is less than the minimum of 0"),
        (probe("readinessProbe", json!("x")), "'x' is not of type 'object'"),
        (
            probe("livenessProbe", json!({"successThreshold": 2})),
            "livenessProbe successThreshold can only be 1",
        ),
        (
            json!({"healthcheck": {"livenessProbe": {"httpGet": {"port": 80}}}}),
            "Healthcheck keys must be either livenessProbe or readinessProbe",
        ),
    ] {
        let message = fault(body);
        assert!(message.ends_with(ending), "{message}");
    }
    assert!(patch(probe("readinessProbe", json!({"some": "thing"}))).is_ok());
}

#[test]
fn probes_merge_by_type_and_by_probe_and_the_last_leaves_its_type_empty() {
    let before = config(json!({"healthcheck": {"web": {
        "livenessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 5},
        "readinessProbe": {"exec": {"command": ["true"]}},
    }}}));

    let replaced =
        patched(&before, json!({"healthcheck": {"web": {"livenessProbe": {"tcpSocket": {"port": 81}}}}}))
            .expect("a good config");
    let removed =
        patched(&replaced, json!({"healthcheck": {"web": {"livenessProbe": null, "readinessProbe": null}}}))
            .expect("a good config");

    assert_eq!(replaced.healthcheck["web"]["livenessProbe"], json!({"tcpSocket": {"port": 81}}));
    assert!(replaced.healthcheck["web"].contains_key("readinessProbe"));
    assert_eq!(json!(removed.healthcheck), json!({"web": {}}));
    assert_eq!(super::probes(&removed.healthcheck, &ProcessType::web(), Some(80)), None);
}

#[test]
fn values_stay_out_of_debug_output() {
    let secret = config(json!({"values": {"PASSWORD": "hunter2"}, "lifecycle_pre_stop": {"web": "hunter2"}}));

    let shown = format!("{secret:?} {:?}", patch(json!({"values": {"PASSWORD": "hunter2"}})));

    assert!(shown.contains("PASSWORD") && !shown.contains("hunter2"), "{shown}");
}

fn any_patch() -> impl Strategy<Value = Value> {
    let values =
        proptest::collection::btree_map("[A-D]", proptest::option::weighted(0.8, "[a-z]{0,3}"), 0..4);
    let memory =
        proptest::collection::btree_map("web|worker", proptest::option::weighted(0.8, "[1-9]M"), 0..2);
    (values, memory).prop_map(|(values, memory)| json!({"values": values, "memory": memory}))
}

proptest! {
    #[test]
    fn setting_the_same_again_changes_nothing_more(before in any_patch(), change in any_patch()) {
        let Ok(before) = patched(&Config::default(), before) else { return Ok(()) };
        let Ok(once) = patched(&before, change.clone()) else { return Ok(()) };
        // A key can be removed once; setting a key again changes nothing.
        match patched(&once, change) {
            Ok(twice) => prop_assert_eq!(twice, once),
            Err(error) => {
                let was_removed = matches!(error, ConfigError::NotSet { .. });
                prop_assert!(was_removed);
            }
        }
    }

    #[test]
    fn a_config_is_the_same_after_a_journey_through_json(body in any_patch()) {
        let Ok(written) = patched(&Config::default(), body) else { return Ok(()) };
        let text = serde_json::to_string(&written).expect("configs are JSON");
        prop_assert_eq!(serde_json::from_str::<Config>(&text).expect("what we wrote"), written);
    }

    #[test]
    fn no_body_makes_parsing_panic(text in "[{}\\[\\]\":,a-z0-9./_-]{0,40}") {
        let _ = patch(json!({"values": text, "healthcheck": text}));
        let _ = patch(json!({"memory": {"web": text}, "cpu": {"web": text}, "tags": {text.as_str(): text}}));
        let _ = patch(json!({"values": {"HEALTHCHECK_URL": text, "PORT": text}}));
    }
}

#[test]
fn a_config_may_be_of_64_kib_and_a_larger_one_is_refused_on_the_field_that_grew() {
    let most = "x".repeat(CONFIG_BYTES_MAX - "A".len());
    let full = config(json!({"values": {"A": most}}));
    assert_eq!(full.size_bytes(), CONFIG_BYTES_MAX);

    for (field, body) in [
        ("values", json!({"values": {"B": ""}})),
        ("tags", json!({"values": {"A": most}, "tags": {"a": "b"}})),
        ("lifecycle_pre_stop", json!({"lifecycle_pre_stop": {"web": "sleep 1"}})),
        ("healthcheck", json!({"healthcheck": {"web": {"livenessProbe": {"tcpSocket": {"port": 1}}}}})),
    ] {
        let Err(ConfigError::Invalid(faults)) = patched(&full, body) else { panic!("{field} is refused") };
        assert_eq!(faults[0].0, field);
        assert!(faults[0].1.contains("at most 65536 (64 KiB)"), "{faults:?}");
    }
    assert!(patched(&full, json!({"values": {"A": null, "B": "1"}})).is_ok());
}

#[test]
fn a_config_from_before_the_bound_may_shrink_in_steps_but_not_grow() {
    let values = ["A", "B"].map(|name| (name.to_owned(), "x".repeat(CONFIG_BYTES_MAX))).into();
    let old = Config { values, ..Config::default() };

    assert!(patched(&old, json!({"values": {"A": "x".repeat(CONFIG_BYTES_MAX - 1)}})).is_ok());
    assert!(patched(&old, json!({"values": {"C": "1"}})).is_err());
    assert!(patched(&old, json!({"values": {"A": null}})).is_ok());
}

#[test]
fn changing_one_entry_of_a_large_config_changes_one_part() {
    let values: Texts = (0..500).map(|number| (format!("VAR_{number}"), "x".repeat(100))).collect();
    let before = Config { values, ..Config::default() };
    let after = patched(&before, json!({"values": {"VAR_7": "y"}})).expect("a good patch");

    let (before, after) = (before.parts(), after.parts());

    let new: Vec<_> = after.iter().filter(|part| !before.contains(part)).collect();
    assert_eq!((before.len(), after.len(), new.len()), (PARTS_MAX, PARTS_MAX, 1));
    assert!(new[0].len() < 4_000, "{} bytes", new[0].len());
}

proptest! {
    #[test]
    fn parts_make_the_whole_config_again(
        values in proptest::collection::btree_map("[A-Z_]{1,8}", ".{0,300}", 0..40),
        tags in proptest::collection::btree_map("[a-z]{1,8}", "[a-z]{0,300}", 0..40),
    ) {
        let healthcheck = json!({"web": {"livenessProbe": {"tcpSocket": {"port": 1}}}, "cmd": {}});
        let healthcheck = serde_json::from_value(healthcheck).expect("probes");
        let config = Config { values, tags, healthcheck, ..Config::default() };

        let parts = config.parts();

        prop_assert_eq!(Config::from_parts(parts.iter().map(Vec::as_slice)).expect("JSON"), config);
    }
}
