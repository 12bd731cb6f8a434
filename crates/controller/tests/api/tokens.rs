use crate::platform::TestPlatform;

const TOKENS: &str = "/v2/auth/tokens/";
const INVALID: (u16, &str) = (401, r#"{"detail":"Invalid token."}"#);

async fn is_valid(platform: &TestPlatform, token: &str) -> bool {
    let answer = platform.get("/v2/", token).await;
    if answer.status != 200 {
        assert_eq!(answer.both(), INVALID);
    }
    answer.status == 200
}

#[tokio::test]
async fn a_new_token_ends_all_others_of_the_caller() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let bob = platform.user("bob").await;
    let login = platform.post("/v2/auth/login/", "", r#"{"username":"bob","password":"s3cret horse"}"#).await;
    let second = login.json()["token"].as_str().expect("a token").to_owned();

    let answer = platform.post(TOKENS, &bob, "").await;

    assert_eq!(answer.status, 200);
    let new = answer.json()["token"].as_str().expect("a token").to_owned();
    assert!(is_valid(&platform, &new).await);
    assert!(!is_valid(&platform, &bob).await);
    assert!(!is_valid(&platform, &second).await);
    assert!(is_valid(&platform, &admin).await);
}

#[tokio::test]
async fn only_an_administrator_renews_tokens_by_name() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let bob = platform.user("bob").await;

    let own_name = platform.post(TOKENS, &bob, r#"{"username":"bob"}"#).await;
    let everybody = platform.post(TOKENS, &bob, r#"{"all":true}"#).await;
    let nobody = platform.post(TOKENS, &admin, r#"{"username":"nobody"}"#).await;
    let bobs = platform.post(TOKENS, &admin, r#"{"username":"bob"}"#).await;

    assert_eq!(own_name.status, 403);
    assert_eq!(everybody.status, 403);
    assert_eq!(nobody.both(), (404, r#""No User matches the given query.""#));
    assert!(is_valid(&platform, bobs.json()["token"].as_str().expect("a token")).await);
    assert!(!is_valid(&platform, &bob).await);
    assert!(is_valid(&platform, &admin).await);
}

#[tokio::test]
async fn ending_all_tokens_ends_the_callers_too() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;
    let bob = platform.user("bob").await;

    let answer = platform.post(TOKENS, &admin, r#"{"all":false}"#).await;

    assert_eq!(answer.both(), (200, r#""""#));
    assert!(!is_valid(&platform, &admin).await);
    assert!(!is_valid(&platform, &bob).await);
}

#[tokio::test]
async fn a_logout_ends_its_own_token_and_no_other() {
    let platform = TestPlatform::new().await;
    platform.user("admin").await;
    let bob = platform.user("bob").await;
    let login = platform.post("/v2/auth/login/", "", r#"{"username":"bob","password":"s3cret horse"}"#).await;
    let second = login.json()["token"].as_str().expect("a token").to_owned();

    assert_eq!(platform.delete(TOKENS, &second).await.both(), (204, ""));

    assert!(!is_valid(&platform, &second).await);
    assert!(is_valid(&platform, &bob).await);
    assert_eq!(platform.delete(TOKENS, &second).await.both(), INVALID);
}

#[tokio::test]
async fn an_anonymous_renewal_is_unauthorized() {
    let platform = TestPlatform::new().await;

    let answer = platform.post(TOKENS, "", "").await;

    assert_eq!(answer.both(), (401, r#"{"detail":"Authentication credentials were not provided."}"#));
}
