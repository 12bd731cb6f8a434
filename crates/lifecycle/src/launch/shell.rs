//! Commands that are lines of a shell: those of users, and of buildpacks below Buildpack API 0.9.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Launch;

/// Sources the profiles, whose paths come first, and becomes the command. Nothing is pasted into this text: paths,
/// folder and command are arguments.
const SCRIPT: &str = r#"
profiles=$1
shift
while [ "$profiles" -gt 0 ]; do
  profile=$1
  shift
  profiles=$((profiles - 1))
  . "$profile"
done
cd "$1" || exit 82
shift
if [ "$#" -eq 1 ]; then
  exec bash -c "$1"
fi
exec bash -c 'words=(); for word in "$@"; do words+=("$(eval "printf %s \"$word\"")"); done; exec "${words[@]}"' bash "$@"
"#;

pub fn command(launch: &Launch, layers: &[Vec<PathBuf>], app: &Path) -> Command {
    let profiles = profiles(layers, launch.process_type.as_deref(), app);
    let mut command = Command::new("bash");
    command.arg("-c").arg(SCRIPT).arg("bash").arg(OsString::from(profiles.len().to_string()));
    command.args(profiles).arg(&launch.folder).arg(&launch.program).args(&launch.arguments);
    command
}

/// `profile.d` of all layers, then that of the process, then the app's own.
fn profiles(layers: &[Vec<PathBuf>], process_type: Option<&str>, app: &Path) -> Vec<PathBuf> {
    let files = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        paths.sort();
        paths
    };
    let all = layers.iter().flatten().flat_map(|layer| files(layer.join("profile.d")));
    let of_process = process_type.into_iter().flat_map(|process_type| {
        layers.iter().flatten().flat_map(move |layer| files(layer.join("profile.d").join(process_type)))
    });
    let own = Some(app.join(".profile")).filter(|path| path.is_file());
    all.chain(of_process).chain(own).collect()
}
