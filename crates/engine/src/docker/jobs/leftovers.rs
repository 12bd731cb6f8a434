//! Images that a Dockerfile build leaves besides its result: stages, and the steps before a failed one.
//!
//! They are the build's cache, but Docker gives them no name, so nothing would ever remove them. They are
//! named `<namespace>/<app>:stage-<n>`, replaced by the next build's and removed with the app.

use bollard::Docker;
use bollard::errors::Error;
use domain::AppName;

use super::place::{named_images, remove_image};
use super::{Place, failure, tag};

/// Stages of one build that are kept.
const STAGES_MAX: usize = 32;

/// Collects ids from what Docker's builder says.
#[derive(Debug, Default)]
pub struct Leftovers {
    stages: Vec<String>,
    last: Option<String>,
}

impl Leftovers {
    /// `Step 1/2 : FROM x` begins a stage; ` ---> 0123456789ab` is the image of a step.
    pub fn see(&mut self, text: &str) {
        let text = text.trim();
        if text.strip_prefix("Step ").and_then(|rest| rest.split_once(" : ")).is_some_and(is_from) {
            self.stages.extend(self.last.take());
        } else if let Some(id) = text.strip_prefix("---> ").filter(|id| is_id(id)) {
            self.last = Some(id.to_owned());
        }
    }

    /// Names them; the result of a build that succeeded is no leftover. What fails here costs disk, not
    /// the build.
    pub async fn keep(self, place: &Place<'_>, app: &AppName, has_result: bool) {
        let Self { stages, last } = self;
        let ids: Vec<_> = stages.into_iter().chain(last.filter(|_| !has_result)).take(STAGES_MAX).collect();
        if let Err(error) = replace(place, app, &ids).await {
            let error = failure::message(&error);
            tracing::warn!(%app, error, "cannot name the leftovers of a build");
        }
    }
}

fn is_from((_, instruction): (&str, &str)) -> bool {
    instruction.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("FROM"))
}

fn is_id(text: &str) -> bool {
    text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

async fn replace(place: &Place<'_>, app: &AppName, ids: &[String]) -> Result<(), Error> {
    let repository = format!("{}/{app}", place.namespace());
    let old = stages(place.docker, &repository).await?;
    for (number, id) in ids.iter().enumerate() {
        tag(place.docker, id, &format!("{repository}:stage-{number}")).await?;
    }
    for (name, id) in old {
        let number = name.rsplit_once('-').and_then(|(_, number)| number.parse::<usize>().ok());
        if number.is_none_or(|number| number >= ids.len()) {
            remove(place.docker, &name).await?;
        } else {
            remove_if_unnamed(place.docker, &id).await?;
        }
    }
    Ok(())
}

/// Names of kept stages and the ids behind them.
async fn stages(docker: &Docker, repository: &str) -> Result<Vec<(String, String)>, Error> {
    let prefix = format!("{repository}:stage-");
    let mut named = named_images(docker, repository).await?;
    named.retain(|(name, _)| name.starts_with(&prefix));
    Ok(named)
}

async fn remove(docker: &Docker, image: &str) -> Result<(), Error> {
    match remove_image(docker, image).await {
        // Another image stands on it.
        Err(error) if failure::status(&error) == Some(409) => Ok(()),
        removed => removed,
    }
}

async fn remove_if_unnamed(docker: &Docker, id: &str) -> Result<(), Error> {
    let Ok(image) = docker.inspect_image(id).await else { return Ok(()) };
    let is_named = image.repo_tags.is_some_and(|tags| !tags.is_empty());
    if is_named { Ok(()) } else { remove(docker, id).await }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_image_of_each_stage_is_seen() {
        let mut leftovers = Leftovers::default();
        for text in [
            "Step 1/4 : FROM a AS b",
            "\n",
            " ---> 0123456789ab\n",
            "Step 2/4 : RUN true",
            " ---> Running in 999999999999\n",
            " ---> aaaaaaaaaaaa\n",
            "Step 3/4 : FROM scratch",
            "Step 4/4 : COPY --from=b / /",
            " ---> Using cache\n",
            " ---> bbbbbbbbbbbb\n",
        ] {
            leftovers.see(text);
        }
        assert_eq!(leftovers.stages, ["aaaaaaaaaaaa"]);
        assert_eq!(leftovers.last.as_deref(), Some("bbbbbbbbbbbb"));
    }
}
