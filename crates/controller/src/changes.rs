//! Changes by users: recorded, written to the app's log, and handed to the deployer.

use domain::AppName;
use domain::build::Origin;
use domain::config::Config;
use domain::settings::SettingsChange;
use domain::structure::{Structure, in_words};
use jiff::Timestamp;
use store::{
    ChangeError, CreatedApp, NewApp, NewService, RecordedChange, RecordedSettings, ReleaseChange,
    ServiceChange, StoreError,
};

use crate::Controller;

impl Controller {
    /// Makes an app with its first release and its own domain, and lets routers know of it.
    pub async fn create_app(&self, id: AppName, owner: &str) -> Result<CreatedApp, StoreError> {
        let config = Config::initial(&self.settings.default_tags);
        let stack = self.settings.stacks.default_name().clone();
        let new = NewApp { id: id.clone(), owner: owner.to_owned(), config, stack, now: Timestamp::now() };
        let created = self.store.create_app(new).await?;
        self.say(&id, format!("config {id}-{} updated", short(&created.config.uuid)));
        self.say(&id, created.release.summary.as_str());
        self.say(&id, format!("appsettings {id}-{} updated", short(&created.settings.uuid)));
        self.say(&id, format!("domain {} added", created.domain.domain));
        self.notify_deploy_hooks(&created.release);
        if let Err(error) = self.refresh_routing(&id).await {
            tracing::warn!(app = %id, error = &error as &dyn std::error::Error, "new app is not routed yet");
        }
        Ok(created)
    }

    /// Makes the next release and wakes the deployer; [`Controller::wait_for`] waits for the end.
    pub async fn add_release(
        &self,
        app: &AppName,
        user: &str,
        change: ReleaseChange<'_>,
    ) -> Result<RecordedChange, ChangeError> {
        let recorded = self.store.add_release(app, user, change, Timestamp::now()).await?;
        self.wake.notify_one();
        let RecordedChange { release, deploy: _, config, build } = &recorded;
        if let Some(config) = config {
            self.say(app, format!("config {app}-{} updated", short(&config.uuid)));
        }
        if let Some(build) = build {
            self.say(app, format!("build {app}-{} created", short(&build.uuid)));
            if matches!(build.build.origin, Origin::Buildpack | Origin::Cnb) {
                self.say(app, "buildpack type detected. Defaulting to $PORT 5000");
            }
        }
        self.say(app, release.summary.as_str());
        self.notify_deploy_hooks(release);
        Ok(recorded)
    }

    /// Scales an app and wakes the deployer; `None` where nothing changes.
    pub async fn add_scale(
        &self,
        app: &AppName,
        user: &str,
        replicas: &Structure,
    ) -> Result<Option<i64>, ChangeError> {
        let deploy = self.store.add_scale(app, replicas, Timestamp::now()).await?;
        if deploy.is_some() {
            self.wake.notify_one();
            self.say(app, format!("{user} scaled pods {}", in_words(replicas)));
        }
        Ok(deploy)
    }

    /// Changes an app's settings and wakes the deployer where that changes what runs.
    pub async fn change_settings(
        &self,
        app: &AppName,
        user: &str,
        change: SettingsChange<'_>,
    ) -> Result<RecordedSettings, ChangeError> {
        let recorded = self.store.change_settings(app, user, change, Timestamp::now()).await?;
        if recorded.deploy.is_some() {
            self.wake.notify_one();
        }
        self.say(app, format!("appsettings {app}-{} updated", short(&recorded.record.uuid)));
        Ok(recorded)
    }

    /// Adds or changes a service and wakes the deployer where its process type has to listen now.
    pub async fn set_service(&self, new: NewService) -> Result<ServiceChange, StoreError> {
        let (app, process) = (new.app.clone(), new.process.clone());
        let recorded = self.store.set_service(new).await?;
        if recorded != ServiceChange::Unchanged {
            self.say(&app, format!("service {process} updated"));
        }
        if matches!(recorded, ServiceChange::Added { deploy: Some(_) }) {
            self.wake.notify_one();
        }
        Ok(recorded)
    }

    /// Records the removal of an app and wakes the deployer; [`Controller::wait_for_removal`] waits for it.
    pub async fn remove_app(&self, app: &AppName) -> Result<(), StoreError> {
        self.store.remove_app(app, Timestamp::now()).await?;
        self.wake.notify_one();
        Ok(())
    }
}

/// The part of an id that log lines show.
pub(crate) fn short(uuid: &str) -> &str {
    uuid.get(..7).unwrap_or(uuid)
}
