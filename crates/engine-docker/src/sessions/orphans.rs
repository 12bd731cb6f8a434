//! Commands inside replicas that outlived an earlier process of the platform: it was killed, and Docker ends no
//! command when nobody is connected to it any more.

use bollard::Docker;
use bollard::errors::Error;
use domain::shell;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::inside::SessionGuard;
use crate::jobs::status;
use crate::{Inner, replicas};

/// Containers that are asked at the same time.
const AT_ONCE_MAX: usize = 16;

/// Begins to end them. To be called before there are sessions of our own.
pub async fn end_orphans(inner: &Inner) -> Result<(), Error> {
    let containers = replicas::ids(inner, None).await?;
    let orphans = containers.into_iter().map(|container| async move {
        let marks = marks(&inner.client, &container).await?;
        Ok::<_, Error>(marks.into_iter().map(move |mark| (container.clone(), mark)).collect::<Vec<_>>())
    });
    let found: Vec<_> = stream::iter(orphans).buffer_unordered(AT_ONCE_MAX).try_collect().await?;
    for (container, mark) in found.into_iter().flatten() {
        tracing::info!(container, "ending a command whose session was cut off");
        drop(SessionGuard { docker: inner.client.clone(), container, mark });
    }
    Ok(())
}

/// Marks of the sessions whose commands run in the container, as Docker's list of commands has them.
async fn marks(docker: &Docker, container: &str) -> Result<Vec<String>, Error> {
    let Some(container) = there(docker.inspect_container(container, None).await)? else {
        return Ok(Vec::new());
    };
    let mut marks = Vec::new();
    for id in container.exec_ids.unwrap_or_default() {
        let Some(command) = there(docker.inspect_exec(&id).await)? else { continue };
        let words = command.process_config.unwrap_or_default();
        let words = words.entrypoint.into_iter().chain(words.arguments.unwrap_or_default());
        let mark = shell::mark_of(&words.collect::<Vec<_>>());
        marks.extend(mark.filter(|_| command.running == Some(true)));
    }
    Ok(marks)
}

/// `None` for what has gone in the meantime.
fn there<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}
