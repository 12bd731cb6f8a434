//! Terminal output of a chore: steps with their time, commands, and the output of a failed one.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Prints the title, runs the work, and prints its duration.
pub fn step<T>(title: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    println!("==> {title}");
    let begun = Instant::now();
    let done = work().with_context(|| title.to_owned())?;
    println!("    done in {}", seconds(begun.elapsed()));
    Ok(done)
}

/// `12.3 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Runs a command whose output goes to the terminal.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let line = shown(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns its output; its stderr is part of the error.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let line = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed ({}): {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns true if a command can be run and succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// The command, which is ended when it takes longer than `limit`.
pub fn within(limit: Duration, command: &Command) -> Command {
    let mut bounded = Command::new("timeout");
    // In the foreground, so that Ctrl-C still reaches it.
    bounded.args(["--foreground", &limit.as_secs().to_string()]);
    bounded.arg(command.get_program()).args(command.get_args());
    bounded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    for (name, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
        bounded.env_remove(name);
    }
    bounded.current_dir(command.get_current_dir().unwrap_or(std::path::Path::new(".")));
    bounded
}

/// The command as it would be typed.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

/// Waits until `ready` returns true, checking every 50 ms, for at most `limit`.
pub fn wait_until(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if ready() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_takes_too_long_is_ended_and_keeps_its_surroundings() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $COLOR; pwd"]).env("COLOR", "teal").current_dir("/");

        let said = output(&mut within(Duration::from_secs(30), &shell)).expect("it is quick");
        let begun = Instant::now();
        let ended = output(&mut within(Duration::from_secs(1), Command::new("sleep").arg("60")));

        assert_eq!(said, "teal\n/\n");
        assert!(ended.is_err() && begun.elapsed() < Duration::from_secs(30));
    }
}
