//! One-off processes: a command in the environment of a release, its output, its exit code.

use std::collections::BTreeMap;

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig};
use bytes::Bytes;
use domain::build::{OneOff, ProcessResult};
use domain::image_reference::kept_name;
use futures_util::{Stream, StreamExt as _};

use super::DockerHost;
use super::container::JobContainer;
use super::failure::{self, job_error};
use crate::address;
use crate::confinement::confined;
use crate::disk;
use engine::JobError;

/// Output that is kept of one process.
const OUTPUT_BYTES_MAX: usize = 8 << 20;
/// As shells end when there is no such program, and when it cannot be run.
const EXIT_NOT_FOUND: i64 = 127;
const EXIT_NOT_RUNNABLE: i64 = 126;

/// Runs it to its end; the caller bounds its time.
pub async fn run(
    place: &DockerHost<'_>,
    run: &OneOff,
    cpus: i64,
    network: String,
) -> Result<ProcessResult, JobError> {
    check_tags(place, &run.tags)?;
    let container = create(place, run, container_of(place, run, cpus, network)).await?;
    let output = match container.start().await {
        Ok(output) => output,
        Err(error) => return not_started(error),
    };
    let exceeded = disk::exceeded(place, container.name());
    let output = tokio::select! {
        output = collect(output) => output.map_err(|error| job_error("read the output", error))?,
        reason = exceeded => return Err(JobError::Refused { reason }),
    };
    let exit = container.exit().await.map_err(|error| job_error("wait for the process", error))?;
    let mut output = String::from_utf8_lossy(&output).into_owned();
    if exit.out_of_memory && exit.code != 0 {
        output.push_str(&out_of_memory(run));
    }
    container.remove().await.map_err(|error| job_error("remove the container", error))?;
    Ok(ProcessResult { exit_code: exit.code, output })
}

/// Message for a process that was killed for its memory.
pub fn out_of_memory(run: &OneOff) -> String {
    let bound = run.limits.memory_limit_bytes.map_or("its memory".to_owned(), failure::size);
    format!("\nkilled: the process needed more than {bound}; raise its limit\n")
}

pub fn check_tags(place: &DockerHost<'_>, tags: &BTreeMap<String, String>) -> Result<(), JobError> {
    let missing = tags.iter().find(|(name, value)| place.settings.node_labels.get(*name) != Some(value));
    missing.map_or(Ok(()), |(name, value)| {
        let reason = format!("no node has the label {name}={value}; unset the tag or label a node");
        Err(JobError::Refused { reason })
    })
}

/// The container that it runs in.
pub fn container_of(place: &DockerHost<'_>, run: &OneOff, cpus: i64, network: String) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some(kept_name(&place.namespace(), &run.app, &run.image)),
        hostname: Some(run.name.chars().take(63).collect()),
        entrypoint: run.command.clone(),
        cmd: run.args.clone(),
        env: Some(run.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(place.labels(&run.app, "run")),
        host_config: Some(HostConfig {
            network_mode: Some(network),
            // Watched live: no log file has to be kept.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..confined(&run.limits, cpus, place.settings.pids_max)
        }),
        ..ContainerCreateBody::default()
    }
}

pub async fn create(
    place: &DockerHost<'_>,
    run: &OneOff,
    body: ContainerCreateBody,
) -> Result<JobContainer, JobError> {
    let name = format!("{}-{}", place.namespace(), run.name);
    let create = async {
        let body = if run.knows_address { address::with_address(place.docker, body).await? } else { body };
        JobContainer::create(place.docker, &name, body).await
    };
    create.await.map_err(|error| match failure::status(&error) {
        Some(404) => JobError::Refused {
            reason: format!(
                "the image of {} v{} is not in Docker any more; deploy again",
                run.app, run.release
            ),
        },
        _ => job_error("make the container", error),
    })
}

/// Output up to the limit; the rest is read too, so that the process can continue.
async fn collect(mut stream: impl Stream<Item = Result<Bytes, Error>> + Unpin) -> Result<Vec<u8>, Error> {
    let mut output = Vec::new();
    let mut is_cut = false;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        let left = OUTPUT_BYTES_MAX - output.len();
        output.extend_from_slice(&chunk[..chunk.len().min(left)]);
        is_cut |= chunk.len() > left;
    }
    if is_cut {
        let limit = failure::size(OUTPUT_BYTES_MAX as u64);
        output.extend_from_slice(format!("\n[output truncated after {limit}]\n").as_bytes());
    }
    Ok(output)
}

/// A program that cannot be started has ended as in a shell: with a message and a code.
pub fn not_started(error: Error) -> Result<ProcessResult, JobError> {
    let message = failure::message(&error);
    let exit_code = if message.contains("not found") || message.contains("no such file or directory") {
        EXIT_NOT_FOUND
    } else if message.contains("permission denied") || message.contains("exec format error") {
        EXIT_NOT_RUNNABLE
    } else {
        return Err(job_error("start the process", error));
    };
    let reason = message.rsplit("exec: ").next().unwrap_or(&message);
    let reason = reason.trim_end_matches(": unknown").replace("no such file", "No such file");
    Ok(ProcessResult { exit_code, output: format!("{reason}\n") })
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn output_above_the_bound_is_cut_and_said_to_be() {
        let chunk = Bytes::from(vec![b'x'; 3 << 20]);
        let chunks = stream::iter((0..4).map(|_| Ok(chunk.clone())));

        let output = collect(chunks).await.expect("nothing fails");

        let notice = b"\n[output truncated after 8 MB]\n";
        assert!(output.ends_with(notice));
        assert_eq!(output.len(), OUTPUT_BYTES_MAX + notice.len());
    }
}
