use controller::{PasswordPolicy, RegistrationMode};
use serde_json::json;

use crate::platform::TestPlatform;

const REGISTER: &str = "/v2/auth/register/";

fn named(name: &str) -> String {
    json!({"username": name, "password": "correct horse", "email": "a@x.io"}).to_string()
}

#[tokio::test]
async fn the_first_user_becomes_administrator() {
    let platform = TestPlatform::new().await;

    let answer = platform.post(REGISTER, "", &named("alice")).await;

    assert_eq!(answer.status, 201);
    let body = answer.json();
    let times = (body["last_login"].as_str(), body["date_joined"].as_str());
    let (Some(last_login), Some(joined)) = times else { panic!("{times:?}") };
    assert_eq!(
        answer.text(),
        format!(
            r#"{{"email":"a@x.io","username":"alice","first_name":"","last_name":"","is_superuser":true,"is_staff":true,"groups":[],"user_permissions":[],"last_login":"{last_login}","date_joined":"{joined}","is_active":true}}"#
        )
    );
    assert!(joined.ends_with('Z') && joined.len() == 20, "{joined}");
}

#[tokio::test]
async fn after_the_first_user_only_administrators_register_others() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let bob = platform.user("bob").await;

    let anonymous = platform.post(REGISTER, "", &named("carol")).await;
    let invalid = platform.post(REGISTER, "0123", &named("carol")).await;
    let user = platform.post(REGISTER, &bob, &named("carol")).await;
    let by_admin = platform.post(REGISTER, &admin, &named("carol")).await;

    let no_credentials = r#"{"detail":"Authentication credentials were not provided."}"#;
    assert_eq!(anonymous.both(), (403, no_credentials));
    assert_eq!(invalid.both(), (403, no_credentials));
    assert_eq!(user.both(), (403, r#"{"detail":"You do not have permission to perform this action."}"#));
    assert_eq!(by_admin.status, 201);
    assert_eq!(by_admin.json()["is_superuser"], false);
}

#[tokio::test]
async fn of_two_who_register_first_at_once_one_is_refused() {
    let platform = TestPlatform::new().await;

    let (alice, bob) = (named("alice"), named("bob"));
    let (alice, bob) = tokio::join!(platform.post(REGISTER, "", &alice), platform.post(REGISTER, "", &bob));

    let mut statuses = [alice.status, bob.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403]);
}

#[tokio::test]
async fn open_registration_lets_anyone_in_and_closed_registration_nobody() {
    let open = TestPlatform::with(|settings| settings.registration_mode = RegistrationMode::Enabled).await;
    let closed = TestPlatform::with(|settings| settings.registration_mode = RegistrationMode::Disabled).await;
    open.user("admin").await;
    let admin = closed.user("admin").await;

    let let_in = open.post(REGISTER, "", &named("carol")).await;
    let refused = closed.post(REGISTER, &admin, &named("carol")).await;

    assert_eq!((let_in.status, &let_in.json()["is_superuser"]), (201, &json!(false)));
    assert_eq!(refused.both(), (403, r#"{"detail":"Registration is disabled"}"#));
}

#[tokio::test]
async fn each_wrong_field_is_named_in_one_answer() {
    let platform = TestPlatform::new().await;
    let body = json!({"username": "a b", "password": "", "email": "nowhere", "first_name": "x".repeat(31)});

    let answer = platform.post(REGISTER, "", &body.to_string()).await;

    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json(),
        json!({
            "username": ["Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters."],
            "password": ["This field may not be blank."],
            "email": ["Enter a valid email address."],
            "first_name": ["Ensure this field has no more than 30 characters."],
        })
    );
}

#[tokio::test]
async fn name_and_password_are_required_and_the_email_is_not() {
    let platform = TestPlatform::new().await;

    let empty = platform.post(REGISTER, "", "").await;
    let nulls = platform.post(REGISTER, "", r#"{"username":null,"password":[]}"#).await;
    let enough = platform
        .post(REGISTER, "", r#"{"username":"alice","password":"correct horse","is_active":false}"#)
        .await;

    let required = "This field is required.";
    assert_eq!(empty.status, 400);
    assert_eq!(empty.json(), json!({"username": [required], "password": [required]}));
    assert_eq!(
        nulls.json(),
        json!({"username": ["This field may not be null."], "password": ["Not a valid string."]})
    );
    assert_eq!((enough.status, &enough.json()["email"]), (201, &json!("")));
}

#[tokio::test]
async fn a_taken_name_is_refused_and_case_counts() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;

    let taken = platform.post(REGISTER, &admin, &named("admin")).await;
    let other = platform.post(REGISTER, &admin, &named("Admin")).await;

    assert_eq!(taken.both(), (400, r#"{"username":["A user with that username already exists."]}"#));
    assert_eq!(other.status, 201);
}

#[tokio::test]
async fn a_weak_password_is_refused_on_the_field_password_unless_the_operator_takes_any() {
    let with = |policy| TestPlatform::with(move |settings| settings.password_policy = policy);
    let (on, off) = (with(PasswordPolicy::On).await, with(PasswordPolicy::Off).await);
    for (password, why) in [
        ("s3cret", "This password is too short. It must contain at least 8 characters."),
        ("alicealice", "The password is too similar to the username or email address."),
        (
            "qwertyuiop",
            "This password is too common: it is among the first that are tried. Choose a longer one.",
        ),
    ] {
        let body = json!({"username": "alice", "password": password}).to_string();
        let refused = on.post(REGISTER, "", &body).await;
        assert_eq!((refused.status, refused.json()), (400, json!({"password": [why]})));
    }
    let taken = off.post(REGISTER, "", r#"{"username":"alice","password":"x"}"#).await;
    assert_eq!(taken.status, 201);
}
