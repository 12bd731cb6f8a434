//! The address of a container in its own environment, which Docker has no setting for, and which may be another
//! each time the container starts.
//!
//! So it is read at each start, by a shell inside the container, from the file in which Docker notes it beside
//! the container's host name; then the shell becomes the process. An image without `/bin/sh` does not start so.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use domain::deployment::ADDRESS_VARIABLE;

const SHELL: &str = "/bin/sh";
/// `$0` is the container's host name, the words after it are the process.
const BECOME: &str = "while read -r address name rest; do \
                      if [ \"$name\" = \"$0\" ]; then export VARIABLE=\"$address\"; fi; \
                      done < /etc/hosts; exec \"$@\"";

/// The container with its address in the environment of its process.
pub async fn with_address(docker: &Docker, body: ContainerCreateBody) -> Result<ContainerCreateBody, Error> {
    let (entrypoint, command) = match &body.entrypoint {
        Some(own) => (own.clone(), body.cmd.clone().unwrap_or_default()),
        None => of_image(docker, &body).await?,
    };
    let name = body.hostname.clone().unwrap_or_default();
    Ok(ContainerCreateBody {
        entrypoint: Some(vec![SHELL.to_owned(), "-c".to_owned(), script(), name]),
        cmd: Some([entrypoint, command].concat()),
        ..body
    })
}

fn script() -> String {
    BECOME.replace("VARIABLE", ADDRESS_VARIABLE)
}

/// The image's own entrypoint, and its command where the container has none: as Docker puts them together.
async fn of_image(docker: &Docker, body: &ContainerCreateBody) -> Result<(Vec<String>, Vec<String>), Error> {
    let image = body.image.clone().unwrap_or_default();
    let config = docker.inspect_image(&image).await?.config.unwrap_or_default();
    let command = body.cmd.clone().or(config.cmd);
    Ok((config.entrypoint.unwrap_or_default(), command.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_shell_reads_the_address_beside_the_name_and_becomes_the_process() {
        let hosts = std::fs::read_to_string("/etc/hosts").expect("this machine has one");
        let line = hosts.lines().find(|line| line.contains("localhost")).expect("each has this name");
        let words: Vec<_> = line.split_whitespace().collect();

        let output = Command::new(SHELL)
            .args(["-c", &script(), words[1], "sh", "-c", "echo \"$POD_IP $1\"", "sh", "a  b"])
            .output()
            .expect("a shell");

        let said = String::from_utf8_lossy(&output.stdout);
        let address = said.strip_suffix(" a  b\n").expect("it got its words as they are");
        let of_name = |line: &str| {
            let mut words = line.split_whitespace();
            words.next().filter(|_| words.next() == Some("localhost")).map(str::to_owned)
        };
        assert!(hosts.lines().filter_map(of_name).any(|known| known == address), "{said}");
    }
}
