//! Sizes of volumes: Docker knows none, so `du` measures them in a container.

use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig};
use futures_util::TryStreamExt as _;

use super::DockerHost;
use super::bases::mount;
use super::container::{JobContainer, bounded};
use super::failure::status;

const FOLDER: &str = "/volumes";

/// Bytes that these volumes use; missing ones use none. The `du` of `image` runs in a container that can read these
/// volumes and nothing else.
pub async fn volume_bytes(place: &DockerHost<'_>, image: &str, volumes: &[&str]) -> Result<u64, Error> {
    let mut mounts = Vec::new();
    for &volume in volumes {
        // A container that names a missing volume, as after the end of its app, would create it again.
        match place.docker.inspect_volume(volume).await {
            Err(error) if status(&error) == Some(404) => continue,
            found => drop(found?),
        }
        mounts.push(mount(volume, &format!("{FOLDER}/{}", mounts.len()), true, None));
    }
    if mounts.is_empty() {
        return Ok(0);
    }
    let mut words = measure(mounts.iter().filter_map(|mount| mount.target.as_deref()));
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        user: Some("0:0".to_owned()),
        entrypoint: Some(vec![words.remove(0)]),
        cmd: Some(words),
        labels: Some(place.job_labels("measure")),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(vec!["DAC_READ_SEARCH".to_owned()]),
            readonly_rootfs: Some(true),
            mounts: Some(mounts),
            ..bounded(256 << 20, 16)
        }),
        ..ContainerCreateBody::default()
    };
    let name = format!("{}--measure-{:016x}", place.namespace(), rand::random::<u64>());
    let container = JobContainer::create(place.docker, &name, body).await?;
    let output: Vec<_> = container.start().await?.try_collect().await?;
    container.remove().await?;
    let output = String::from_utf8_lossy(&output.concat()).into_owned();
    measured(&output)
        .ok_or_else(|| Error::DockerStreamError { error: format!("`du` printed {:?}", output.trim()) })
}

/// Command that prints the bytes that each of these folders uses.
pub fn measure<'a>(folders: impl Iterator<Item = &'a str>) -> Vec<String> {
    let du = ["du", "--summarize", "--one-file-system", "--block-size=1"];
    du.into_iter().chain(folders).map(str::to_owned).collect()
}

/// Sum of the sizes that [`measure`] printed; `None` if it printed none.
pub fn measured(output: &str) -> Option<u64> {
    let sizes = output.lines().filter_map(|line| line.split_once('\t')?.0.trim().parse::<u64>().ok());
    sizes.reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_summed_up_whatever_du_complains_of() {
        assert_eq!(measured("du: cannot read directory '/cache/x'\n4096\t/cache\n"), Some(4096));
        assert_eq!(measured("4096\t/volumes/0\n8192\t/volumes/1\n"), Some(12_288));
        assert_eq!(measured(""), None);
    }
}
