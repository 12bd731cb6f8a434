use crate::platform::TestPlatform;

#[tokio::test]
async fn administrators_list_users_in_the_order_of_joining() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("zoe").await;
    platform.user("bob").await;
    platform.user("amy").await;

    let all = platform.get("/v2/users/", &admin).await.json();
    let page = platform.get("/v2/users?limit=1&offset=1", &admin).await.json();

    let names: Vec<_> =
        all["results"].as_array().expect("a list").iter().map(|user| &user["username"]).collect();
    assert_eq!(names, ["zoe", "bob", "amy"]);
    assert_eq!(all["count"], 3);
    assert!(all["next"].is_null() && all["previous"].is_null());
    assert_eq!(page["results"][0]["username"], "bob");
    assert_eq!(page["next"], "http://deis.example.com/v2/users?limit=1&offset=2");
    assert_eq!(page["previous"], "http://deis.example.com/v2/users?limit=1");
}

#[tokio::test]
async fn nobody_else_lists_users() {
    let platform = TestPlatform::new().await;
    platform.user("admin").await;
    let bob = platform.user("bob").await;

    let forbidden = r#"{"detail":"You do not have permission to perform this action."}"#;
    assert_eq!(platform.get("/v2/users/", &bob).await.both(), (403, forbidden));
    assert_eq!(platform.get("/v2/users/", "").await.status, 401);
}

#[tokio::test]
async fn an_answer_never_holds_a_password_or_its_hash() {
    let platform = TestPlatform::new().await;
    let admin = platform.user("admin").await;

    for path in ["/v2/users/", "/v2/auth/whoami/"] {
        let answer = platform.get(path, &admin).await;
        assert!(!answer.text().contains("argon2") && !answer.text().contains("password"), "{path}");
    }
}
