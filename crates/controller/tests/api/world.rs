//! The cast of most tests: alice owns the app `blog`, bob works on it, carol has nothing to do with it.

use crate::platform::{Answer, TestPlatform};

pub const FORBIDDEN: (u16, &str) =
    (403, r#"{"detail":"You do not have permission to perform this action."}"#);
pub const NO_APP: (u16, &str) = (404, r#""No App matches the given query.""#);

pub struct World {
    pub platform: TestPlatform,
    pub admin: String,
    pub alice: String,
    pub bob: String,
    pub carol: String,
}

impl World {
    pub async fn new() -> Self {
        Self::on(TestPlatform::new().await).await
    }

    pub async fn on(platform: TestPlatform) -> Self {
        let admin = platform.user("admin").await;
        let alice = platform.user("alice").await;
        let bob = platform.user("bob").await;
        let carol = platform.user("carol").await;
        for (image, ports) in
            [("example/web", &[8080][..]), ("example/web:1", &[8080]), ("example/web:2", &[8080])]
        {
            platform.add_image(image, ports);
        }
        platform.add_image("example/silent", &[]);
        platform.engine.deny_image("example/denied:9");
        let deployer = controller::deployer::run(platform.controller.clone(), std::future::pending());
        // Ends with the test's runtime.
        tokio::spawn(deployer);
        let world = Self { platform, admin, alice, bob, carol };
        world.create("blog").await;
        let granted = world.post("/v2/apps/blog/perms/", r#"{"username":"bob"}"#).await;
        assert_eq!(granted.status, 201, "{}", granted.text());
        world
    }

    /// Adds an app of alice's.
    pub async fn create(&self, app: &str) {
        let created = self.post("/v2/apps/", &format!(r#"{{"id":"{app}"}}"#)).await;
        assert_eq!(created.status, 201, "{}", created.text());
    }

    /// Deploys an image that serves HTTP, as alice.
    pub async fn deploy(&self, app: &str, image: &str) -> Answer {
        let path = format!("/v2/apps/{app}/builds/");
        let built = self.post(&path, &format!(r#"{{"image":"{image}"}}"#)).await;
        assert_eq!(built.status, 201, "{}", built.text());
        built
    }

    /// Asks as alice.
    pub async fn get(&self, path: &str) -> Answer {
        self.platform.get(path, &self.alice).await
    }

    /// Tells as alice.
    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.platform.post(path, &self.alice, body).await
    }

    /// Deletes as alice.
    pub async fn delete(&self, path: &str) -> Answer {
        self.platform.delete(path, &self.alice).await
    }
}
