use serde_json::json;

use super::*;

fn patch(body: &Value) -> Result<SettingsPatch, SettingsError> {
    SettingsPatch::parse(body.as_object().expect("an object"))
}

fn changed(settings: &AppSettings, body: &Value) -> Result<AppSettings, SettingsError> {
    settings.changed("alice", SettingsChange::Patched(&patch(body)?))
}

fn web() -> ProcessType {
    ProcessType::web()
}

#[test]
fn what_is_not_named_stays() {
    let before = changed(&AppSettings::default(), &json!({"whitelist": ["10.0.0.1"], "label": {"a": 1}}));
    let before = before.expect("valid");

    let after = changed(&before, &json!({"maintenance": "true", "label": {"b": [2]}})).expect("valid");

    assert!(after.maintenance && after.routable);
    assert_eq!(after.whitelist, ["10.0.0.1"]);
    assert_eq!(Value::Object(after.label), json!({"a": 1, "b": [2]}));
}

#[test]
fn a_rule_is_set_and_removed_by_process_type() {
    let rule = json!({"autoscale": {"web": {"min": 2, "max": 5, "cpu_percent": 40}}});
    let ruled = changed(&AppSettings::default(), &rule).expect("valid");
    assert_eq!(ruled.autoscale[&web()], AutoscaleRule { min: 2, max: 5, cpu_percent: 40 });
    assert_eq!(ruled.of_running(BTreeSet::new()).autoscale, ruled.autoscale);

    let free = changed(&ruled, &json!({"autoscale": {"web": null}})).expect("valid");
    assert!(free.autoscale.is_empty());
    let again = changed(&free, &json!({"autoscale": {"web": null}})).expect_err("not set");
    assert_eq!(again.to_string(), "web does not exist under autoscale");
    let label = changed(&free, &json!({"label": {"x": null}})).expect_err("not set");
    assert_eq!(label.to_string(), "x does not exist under label");
}

#[test]
fn the_branch_that_deploys_is_none_until_it_is_named() {
    assert_eq!(AppSettings::default().git_branch, None);
    for (text, branch) in [("trunk", DeployBranch::Named("trunk".to_owned())), ("*", DeployBranch::Any)] {
        let after = changed(&AppSettings::default(), &json!({"git_branch": text})).expect("valid");
        assert_eq!(after.git_branch, Some(branch));
        let again = changed(&after, &json!({"git_branch": null, "maintenance": true})).expect("valid");
        assert_eq!(again.git_branch, after.git_branch);
        let kept: AppSettings =
            serde_json::from_str(&serde_json::to_string(&again).expect("JSON")).expect("what was written");
        assert_eq!(kept, again);
    }
}

#[test]
fn a_change_of_nothing_is_refused() {
    for body in [json!({}), json!({"routable": true}), json!({"maintenance": null}), json!({"unknown": 1})] {
        let refused = changed(&AppSettings::default(), &body).expect_err("nothing changes");
        assert_eq!(refused.to_string(), "alice changed nothing", "{body}");
    }
}

#[test]
fn faults_are_told_by_field() {
    let wrong = |body: &Value| match patch(body) {
        Err(SettingsError::Invalid(faults)) => faults,
        other => panic!("{body} gave {other:?}"),
    };
    for (body, field, text) in [
        (json!({"maintenance": "maybe"}), "maintenance", "\"maybe\" is not a valid boolean."),
        (
            json!({"build_kind": "docker"}),
            "build_kind",
            "use `buildpack`, `dockerfile`, `cnb`, or `auto` to let each push decide",
        ),
        (json!({"git_branch": 7}), "git_branch", "Not a valid string."),
        (json!({"stack": 7}), "stack", "Not a valid string."),
        (
            json!({"builder": "A b"}),
            "builder",
            "`A b` is no builder: give the name of an image, such as `builders/base:1`, or `default` for the platform's",
        ),
        (
            json!({"git_branch": "a b"}),
            "git_branch",
            "not a name of a branch (git check-ref-format); use a name such as `main` without `refs/heads/`, or `*` \
             for any branch",
        ),
        (json!({"whitelist": "1.2.3.4"}), "whitelist", "Expected a list of items but got type \"str\"."),
        (json!({"whitelist": ["1.2.3.4", "x"]}), "whitelist", "The address x is not valid"),
        (
            json!({"autoscale": {"web": {"min": 1, "max": 2}}}),
            "autoscale",
            "could not validate {\"min\":1,\"max\":2}: 'cpu_percent' is a required property",
        ),
        (
            json!({"autoscale": {"web": {"min": "x", "max": 2, "cpu_percent": 1}}}),
            "autoscale",
            "could not validate {\"min\":\"x\",\"max\":2,\"cpu_percent\":1}: 'x' is not of type 'integer'",
        ),
        (json!({"autoscale": 5}), "autoscale", "Expected a dictionary of items but got type \"int\"."),
        (json!({"label": null}), "label", "This field may not be null."),
    ] {
        assert_eq!(wrong(&body), [(field, text.to_owned())]);
    }
}

#[test]
fn a_builder_is_chosen_and_given_up() {
    let chosen = changed(&AppSettings::default(), &json!({"builder": "builders/base:1"})).expect("a change");
    assert_eq!(chosen.builder.as_ref().map(BuilderChoice::as_str), Some("builders/base:1"));
    assert_eq!(changed(&chosen, &json!({"builder": ""})), Ok(AppSettings::default()));
    assert!(patch(&json!({"builder": "default"})).expect("good").wants_default_builder());
}

#[test]
fn bounds_of_a_rule_make_sense() {
    let rule = |min: u32, max: u32| {
        patch(&json!({"autoscale": {"web": {"min": min, "max": max, "cpu_percent": 50}}}))
    };

    assert_eq!(rule(0, 3), Err(SettingsError::MinTooLow));
    assert_eq!(rule(3, 2), Err(SettingsError::MaxBelowMin));
    assert!(matches!(rule(1, REPLICAS_MAX + 1), Err(SettingsError::Invalid(_))));
    assert!(rule(2, 2).is_ok());
}

#[test]
fn addresses_join_and_leave_the_whitelist() {
    let addresses = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (both, one) = (addresses(&["10.0.0.1", "10.0.0.2"]), addresses(&["10.0.0.2"]));
    let list = AppSettings::default().changed("alice", SettingsChange::Admitted(&both)).expect("new ones");

    assert_eq!(list.whitelist, both);
    assert!(matches!(
        list.changed("alice", SettingsChange::Admitted(&one)),
        Err(SettingsError::Unchanged { .. })
    ));
    let left = list.changed("alice", SettingsChange::Dismissed(&one)).expect("it is listed");
    assert_eq!(left.whitelist, ["10.0.0.1"]);
    assert!(matches!(
        left.changed("alice", SettingsChange::Dismissed(&one)),
        Err(SettingsError::Whitelist(WhitelistError::NotListed(_)))
    ));
}

#[test]
fn an_app_from_before_there_was_a_choice_is_on_bookworm_until_it_chooses() {
    let old: AppSettings =
        serde_json::from_str(r#"{"maintenance":false}"#).expect("settings of earlier versions");
    let choose = |stack: &str| {
        old.changed("alice", SettingsChange::Patched(&patch(&json!({"stack": stack})).expect("good")))
    };

    assert_eq!(old.stack().as_str(), "bookworm");
    assert_eq!(choose("trixie").map(|next| next.stack().to_string()), Ok("trixie".to_owned()));
    assert!(matches!(choose("bookworm"), Err(SettingsError::Unchanged { .. })));
}
