//! One push an app at a time. The lock lives as long as the push that holds it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use domain::AppName;

/// The apps that are being pushed to.
#[derive(Clone, Default)]
pub(crate) struct AppLocks {
    locked: Arc<Mutex<HashSet<AppName>>>,
}

/// Held until dropped.
pub(crate) struct AppLock {
    app: AppName,
    locked: Arc<Mutex<HashSet<AppName>>>,
}

impl AppLocks {
    /// The lock of the app, unless another push holds it. Nobody queues.
    pub(crate) fn try_lock(&self, app: &AppName) -> Option<AppLock> {
        let mut held = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(app.clone()).then(|| AppLock { app: app.clone(), locked: Arc::clone(&self.locked) })
    }
}

impl Drop for AppLock {
    fn drop(&mut self) {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.app);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_locked_until_the_lock_is_dropped_and_others_are_not() {
        let (locks, app, other) =
            (AppLocks::default(), AppName::parse("a").unwrap(), AppName::parse("b").unwrap());

        let held = locks.try_lock(&app);

        assert!(held.is_some());
        assert!(locks.try_lock(&app).is_none());
        assert!(locks.try_lock(&other).is_some());
        drop(held);
        assert!(locks.try_lock(&app).is_some());
    }
}
