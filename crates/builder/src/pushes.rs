//! Pushes under way: the link between a `git receive-pack` and the hook that it starts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use domain::AppName;
use domain::branch::DeployBranch;
use domain::build_plan::BuildSettings;
use domain::stacks::StackName;
use tokio_util::sync::CancellationToken;

use crate::locks::AppLock;

/// One push. The app stays locked until the last copy is gone: the connection's or the build's.
pub(crate) struct Push {
    pub app: AppName,
    pub user: String,
    pub repository: PathBuf,
    /// The branch whose pushes deploy, where one was deployed or chosen.
    pub branch: Option<DeployBranch>,
    /// Choices about the app's builds.
    pub build: BuildSettings,
    /// Stack of a build with buildpacks.
    pub stack: StackName,
    pub started: Instant,
    /// Set when git has taken the pack in and has started the hook.
    pub received: CancellationToken,
    /// Set once the push is built, released and so accepted.
    pub accepted: AtomicBool,
    pub _lock: AppLock,
}

/// The pushes whose hook has not come yet, by their secret number.
#[derive(Default)]
pub(crate) struct Pushes {
    waiting: Mutex<HashMap<String, Arc<Push>>>,
}

/// Takes the push from the list when `git receive-pack` has ended.
pub(crate) struct ExpectedPush<'a> {
    pushes: &'a Pushes,
    pub token: String,
}

impl Pushes {
    /// Expects a hook for this push, under a number that only our git process learns.
    pub(crate) fn expect(&self, push: &Arc<Push>) -> ExpectedPush<'_> {
        let token = format!("{:032x}", rand::random::<u128>());
        self.lock().insert(token.clone(), Arc::clone(push));
        ExpectedPush { pushes: self, token }
    }

    /// The push that the hook belongs to; each has one hook.
    pub(crate) fn take(&self, token: &str) -> Option<Arc<Push>> {
        self.lock().remove(token)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Push>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ExpectedPush<'_> {
    fn drop(&mut self) {
        self.pushes.lock().remove(&self.token);
    }
}
