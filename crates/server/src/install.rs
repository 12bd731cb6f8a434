//! `workflow up --install`: a systemd unit that runs the platform with the current settings.
//!
//! Flags go into the unit, environment variables into a file of mode 0600 beside it, since a database URL may hold
//! a password.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::settings::UpSettings;

const UNIT: &str = "workflow.service";

/// Root of the installed files; another one for tests and for images that are made offline.
pub struct Root(pub PathBuf);

/// Writes the unit and, where systemd runs, starts it. Returns what a person should know.
pub fn install(root: &Root, settings: &UpSettings, command: &clap::Command) -> anyhow::Result<String> {
    ensure!(
        nix::unistd::geteuid().is_root() || root.0 != Path::new("/"),
        "--install writes to /etc/systemd/system: run it as root or with sudo"
    );
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let arguments = std::env::args().skip(1).filter(|argument| argument != "--install");
    let unit = unit(&program, arguments, settings);
    let unit_path = write(root, &format!("etc/systemd/system/{UNIT}"), 0o644, &unit)?;
    let environment_path = write(root, "etc/workflow/workflow.env", 0o600, &environment(command))?;
    let written = format!("wrote {} and {}", unit_path.display(), environment_path.display());
    if !Path::new("/run/systemd/system").is_dir() || root.0 != Path::new("/") {
        return Ok(format!("{written}; systemd does not run here, so nothing was started"));
    }
    for arguments in [&["daemon-reload"][..], &["enable", "--now", UNIT]] {
        let status = Command::new("systemctl").args(arguments).status().context("cannot run systemctl")?;
        ensure!(status.success(), "systemctl {} failed: see journalctl --unit={UNIT}", arguments.join(" "));
    }
    Ok(format!("{written}; the platform runs and starts at boot, see systemctl status {UNIT}"))
}

fn unit(program: &Path, arguments: impl Iterator<Item = String>, settings: &UpSettings) -> String {
    let words = std::iter::once(program.display().to_string()).chain(arguments);
    let command: Vec<String> = words.map(|word| quoted(&word)).collect();
    format!(
        "[Unit]\n\
         Description=Deis Workflow\n\
         Wants=network-online.target\n\
         After=network-online.target docker.service\n\
         \n\
         [Service]\n\
         ExecStart={}\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         EnvironmentFile=-/etc/workflow/workflow.env\n\
         Restart=always\n\
         RestartSec=1\n\
         KillMode=mixed\n\
         TimeoutStopSec={}\n\
         LimitNOFILE=65536\n\
         NoNewPrivileges=true\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        command.join(" "),
        settings.stop_timeout + 10,
    )
}

/// One argument of a command line (systemd.service, "Command lines").
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

/// The settings that came as environment variables (systemd.exec, "EnvironmentFile=").
fn environment(command: &clap::Command) -> String {
    let names = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str());
    let lines = names.filter_map(|name| {
        let value = std::env::var(name).ok()?.replace('\\', "\\\\").replace('"', "\\\"");
        Some(format!("{name}=\"{value}\"\n"))
    });
    lines.collect()
}

fn write(root: &Root, path: &str, mode: u32, text: &str) -> anyhow::Result<PathBuf> {
    let path = root.0.join(path);
    let write = || -> std::io::Result<()> {
        use std::io::Write as _;
        std::fs::create_dir_all(path.parent().expect("the path has folders"))?;
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_survive_systemd() {
        assert_eq!(quoted(r#"a b"#), r#""a b""#);
        assert_eq!(quoted(r#"100%$x"\"#), r#""100%%$$x\"\\""#);
    }
}
