//! Dockerfile builds, by Docker's own builder.
//!
//! The source goes to Docker as it comes; its Dockerfile is read in passing, and the end of the archive,
//! without which Docker does not begin, is only sent when the images it names may be used by the app.

use std::collections::{BTreeMap, HashMap};

use bollard::errors::Error;
use bollard::models::BuildInfo;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder};
use bytes::Bytes;
use domain::build::{BuildJob, BuiltImage};
use domain::dockerfile::images_used;
use domain::image_reference::{ImageReference, kept_name};
use domain::{Digest, Image};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::archive::{self, Found, Sink};
use super::failure::{self, file_error, job_error};
use super::leftovers::Leftovers;
use super::{Place, tag};
use crate::docker::images::ports_and_user;
use crate::{JobError, Source};

const DOCKERFILE: &str = "Dockerfile";
const DOCKERFILE_BYTES_MAX: u64 = 1 << 20;
/// Build arguments that Docker knows without an `ARG`, and leaves out of the image's history.
const PROXY_ARGS: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
/// What a process ends with that was killed, as the kernel does when memory runs out.
const EXIT_KILLED: i64 = 137;

/// Runs the build; the caller bounds its time.
pub async fn build(
    place: &Place<'_>,
    job: &BuildJob,
    source: Source,
    output: &mpsc::Sender<Bytes>,
) -> Result<BuiltImage, JobError> {
    let network = place.builds_network().await?;
    let args = build_args(place, job);
    let (sink, body) = Sink::new();
    let send = send_source(place, job, source, sink, &args);
    let body = bollard::body_try_stream(body);
    let built = place.docker.build_image(options(place, job, &network, &args), None, Some(body));
    let mut leftovers = Leftovers::default();
    let (sent, built) = tokio::join!(send, watch(Box::pin(built), output, &mut leftovers));
    leftovers.keep(place, &job.app, built.is_ok()).await;
    // Why the source was not sent says more than that Docker missed it.
    sent?;
    let id = match built {
        Ok(id) => id,
        Err(error) => return Err(failure(place, error, output).await),
    };
    name_it(place, job, &id).await
}

fn options(
    place: &Place<'_>,
    job: &BuildJob,
    network: &str,
    args: &BTreeMap<String, String>,
) -> BuildImageOptions {
    let args: HashMap<&str, &str> =
        args.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut labels = place.labels(&job.app, "build");
    // The label of jobs marks containers to be removed; the app's own would inherit it.
    labels.retain(|name, _| !name.ends_with(".job"));
    // Docker's library takes 32 bits: above 2 GB the bound is 2 GB rather than none.
    let memory = i32::try_from(place.settings.build_memory_bytes).unwrap_or(i32::MAX);
    BuildImageOptionsBuilder::default()
        .dockerfile(DOCKERFILE)
        .nocache(!job.cache)
        .rm(true)
        .forcerm(true)
        .memory(memory)
        .memswap(memory)
        .buildargs(&args)
        .labels(&labels)
        .networkmode(network)
        .build()
}

/// The platform's proxies, in both spellings, and the app's config where it asked for that.
fn build_args(place: &Place<'_>, job: &BuildJob) -> BTreeMap<String, String> {
    let proxies = place.settings.build_env.iter().filter(|(name, _)| is_proxy(name));
    let proxies = proxies.map(|(name, value)| (name.clone(), value.clone()));
    let config = job.env.iter().filter(|_| job.build_args).map(|(name, value)| (name.clone(), value.clone()));
    proxies.chain(config).collect()
}

fn is_proxy(name: &str) -> bool {
    PROXY_ARGS.contains(&name.to_ascii_uppercase().as_str())
}

async fn send_source(
    place: &Place<'_>,
    job: &BuildJob,
    source: Source,
    sink: Sink,
    args: &BTreeMap<String, String>,
) -> Result<(), JobError> {
    let sent = match archive::send_finding(source, &sink, DOCKERFILE, DOCKERFILE_BYTES_MAX).await {
        Ok(found) => check(place, job, found, args),
        Err(error) => unless_docker_stopped(&error),
    };
    match sent {
        Ok(()) => archive::send_end(&sink).await.or_else(|error| unless_docker_stopped(&error)),
        Err(error) => {
            sink.abort().await;
            Err(error)
        }
    }
}

/// That Docker reads no more is no cause of its own: its answer tells the cause.
fn unless_docker_stopped(error: &std::io::Error) -> Result<(), JobError> {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(file_error("send the source to Docker", error)),
    }
}

/// Refuses a Dockerfile that uses images of other apps.
fn check(
    place: &Place<'_>,
    job: &BuildJob,
    found: Option<Found>,
    args: &BTreeMap<String, String>,
) -> Result<(), JobError> {
    let refused = |reason: String| Err(JobError::Refused { reason });
    let content = match found {
        Some(Found::File(content)) => content,
        Some(Found::Other) => {
            let limit = failure::size(DOCKERFILE_BYTES_MAX);
            return refused(format!("Dockerfile must be a plain file of at most {limit}, no link or folder"));
        }
        None => return refused("the source has no Dockerfile at its root".to_owned()),
    };
    let text = String::from_utf8_lossy(&content);
    let images = images_used(&text, args).map_err(|error| JobError::Refused { reason: error.to_string() })?;
    for image in images {
        match ImageReference::parse(&image) {
            Ok(reference) if reference.may_be_used_by(&job.app, &place.namespace()) => {}
            Ok(_) => {
                return refused(format!("Dockerfile uses image `{image}`, which belongs to another app"));
            }
            Err(error) => return refused(format!("Dockerfile uses image `{image}`: {error}")),
        }
    }
    Ok(())
}

/// Passes on what Docker says and gives back the id of the image.
async fn watch(
    mut stream: impl Stream<Item = Result<BuildInfo, Error>> + Unpin,
    output: &mpsc::Sender<Bytes>,
    leftovers: &mut Leftovers,
) -> Result<String, Error> {
    let mut id = None;
    while let Some(info) = stream.next().await {
        let BuildInfo { id: layer, stream, error_detail: _, status, progress_detail, aux } = info?;
        if let Some(text) = stream {
            leftovers.see(&text);
            let _ = output.send(Bytes::from(text)).await;
        }
        // Progress bars of pulled layers are left out: a line for each state is enough.
        let has_progress = progress_detail.is_some_and(|detail| detail.total.is_some());
        if let Some(status) = status.filter(|_| !has_progress) {
            let layer = layer.map(|layer| format!("{layer}: ")).unwrap_or_default();
            let _ = output.send(Bytes::from(format!("{layer}{status}\n"))).await;
        }
        id = aux.and_then(|aux| aux.id).or(id);
    }
    id.ok_or_else(|| Error::DockerStreamError { error: "Docker ended the build without an image".to_owned() })
}

/// Shows the pusher what Docker said and sorts it: the user's fault, a bound, or Docker's own trouble.
async fn failure(place: &Place<'_>, error: Error, output: &mpsc::Sender<Bytes>) -> JobError {
    let error = match job_error("build with Docker", error) {
        JobError::Engine(crate::EngineError::Refused { reason, .. }) => reason,
        other => return other,
    };
    let _ = output.send(Bytes::from(format!("{error}\n"))).await;
    let exit_code = exit_code(&error);
    if exit_code == EXIT_KILLED {
        let bound = failure::size(place.settings.build_memory_bytes);
        return JobError::Refused {
            reason: format!("a step of the build was killed; it may have at most {bound} of memory"),
        };
    }
    JobError::Failed { exit_code }
}

/// The code in `The command '...' returned a non-zero code: 2`, else 1.
fn exit_code(message: &str) -> i64 {
    let code = message.rsplit_once("returned a non-zero code: ").map(|(_, code)| code);
    code.and_then(|code| code.trim().parse().ok()).unwrap_or(1)
}

async fn name_it(place: &Place<'_>, job: &BuildJob, id: &str) -> Result<BuiltImage, JobError> {
    let what = "name the built image";
    let digest = Digest::parse(id).map_err(|error| JobError::Refused { reason: error.to_string() })?;
    let image = Image::Built { app: job.app.clone(), digest };
    let name = kept_name(&place.namespace(), &job.app, &image);
    tag(place.docker, id, &name).await.map_err(|error| job_error(what, error))?;
    let inspected = place.docker.inspect_image(&name).await.map_err(|error| job_error(what, error))?;
    let (ports, user) = ports_and_user(&inspected);
    Ok(BuiltImage { image, ports, user, process_types: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_of_a_step_is_read_from_dockers_message() {
        assert_eq!(exit_code("The command '/bin/sh -c false' returned a non-zero code: 7"), 7);
        assert_eq!(exit_code("pull access denied"), 1);
    }
}
