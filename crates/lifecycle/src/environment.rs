//! Environments of buildpacks and of processes, made of what images, platform and layers supply.

pub mod modify;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::failure::{OrFailure, Result};
use crate::formats::analyzed::Target;
use modify::{Action, change_by_folder};

pub type Variables = BTreeMap<OsString, OsString>;

/// Variables that buildpacks inherit from the build image as they are.
const INHERITED: &[&str] = &[
    "CNB_STACK_ID",
    "HOSTNAME",
    "HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Variables that list folders, with the folder of a layer that belongs to them.
const BUILD_PATHS: &[(&str, &str)] = &[
    ("PATH", "bin"),
    ("LD_LIBRARY_PATH", "lib"),
    ("LIBRARY_PATH", "lib"),
    ("CPATH", "include"),
    ("PKG_CONFIG_PATH", "pkgconfig"),
];
const LAUNCH_PATHS: &[(&str, &str)] = &[("PATH", "bin"), ("LD_LIBRARY_PATH", "lib")];

/// Bytes of a file that holds the value of a variable.
const VALUE_BYTES_MAX: u64 = 1 << 20;

/// What a buildpack inherits of the lifecycle's own environment.
pub fn inherited(own: impl IntoIterator<Item = (OsString, OsString)>) -> Variables {
    let is_inherited = |name: &OsStr| {
        INHERITED.iter().any(|it| name == *it) || BUILD_PATHS.iter().any(|(it, _)| name == *it)
    };
    own.into_iter().filter(|(name, _)| is_inherited(name)).collect()
}

/// Sets the variables that tell buildpacks where the app will run, and for what; either may be unknown.
pub fn set_execution(variables: &mut Variables, target: Option<&Target>, exec_env: Option<&str>) {
    if let Some(target) = target {
        set_target(variables, target);
    }
    if let Some(exec_env) = exec_env {
        variables.insert("CNB_EXEC_ENV".into(), exec_env.into());
    }
}

fn set_target(variables: &mut Variables, target: &Target) {
    let distro = target.distro.clone().unwrap_or_default();
    for (name, value) in [
        ("CNB_TARGET_OS", &target.os),
        ("CNB_TARGET_ARCH", &target.arch),
        ("CNB_TARGET_ARCH_VARIANT", &target.variant),
        ("CNB_TARGET_DISTRO_NAME", &distro.name),
        ("CNB_TARGET_DISTRO_VERSION", &distro.version),
    ] {
        if !value.is_empty() {
            variables.insert(name.into(), value.into());
        }
    }
}

/// Sets what users supply (`<platform>/env`), unless the buildpack wants none of it, and what the operator of the
/// builder supplies (`<build-config>/env`), which comes last.
pub fn set_platform(
    variables: &mut Variables,
    platform: &Path,
    build_config: &Path,
    is_cleared: bool,
) -> Result<()> {
    if !is_cleared {
        for (name, value) in values(&platform.join("env"))? {
            let is_list = BUILD_PATHS.iter().any(|(it, _)| name == *it);
            let value = match variables.get(&name) {
                Some(old) if is_list && !old.is_empty() => joined(&value, ":".as_ref(), old),
                _ => value,
            };
            variables.insert(name, value);
        }
    }
    change_by_folder(variables, &build_config.join("env"), Action::Default)
}

/// Makes the layers of one buildpack that are for builds visible to the next ones.
pub fn add_build_layers(variables: &mut Variables, layers: &[impl AsRef<Path>]) -> Result<()> {
    add_paths(variables, layers, BUILD_PATHS);
    for layer in layers {
        for folder in ["env", "env.build"] {
            change_by_folder(variables, &layer.as_ref().join(folder), Action::Override)?;
        }
    }
    Ok(())
}

/// Makes the layers of one buildpack visible to a process.
pub fn add_launch_layers(
    variables: &mut Variables,
    layers: &[impl AsRef<Path>],
    process_type: Option<&str>,
) -> Result<()> {
    add_paths(variables, layers, LAUNCH_PATHS);
    for layer in layers {
        let launch = layer.as_ref().join("env.launch");
        let of_process = process_type.map(|process_type| launch.join(process_type));
        for folder in [Some(layer.as_ref().join("env")), Some(launch), of_process].into_iter().flatten() {
            change_by_folder(variables, &folder, Action::Override)?;
        }
    }
    Ok(())
}

/// Puts the layers' folders in front; of one buildpack the first layer by name comes first.
fn add_paths(variables: &mut Variables, layers: &[impl AsRef<Path>], paths: &[(&str, &str)]) {
    for layer in layers.iter().rev() {
        for (name, folder) in paths {
            let folder = layer.as_ref().join(folder);
            if folder.is_dir() {
                let old = variables.entry((*name).into()).or_default();
                *old = match old.is_empty() {
                    true => folder.into_os_string(),
                    false => joined(folder.as_os_str(), ":".as_ref(), old),
                };
            }
        }
    }
}

/// Files of a folder with their content, by name; none if there is no folder.
fn values(folder: &Path) -> Result<Vec<(OsString, OsString)>> {
    let name = folder.display();
    let mut values = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(values),
        entries => entries.or_fail(format!("{name} cannot be listed"))?,
    };
    for entry in entries {
        let entry = entry.or_fail(format!("{name} cannot be listed"))?;
        // A link may stand for a file: Kubernetes mounts values so.
        if entry.path().is_file() {
            values.push((entry.file_name(), value_of(&entry.path())?));
        }
    }
    values.sort();
    Ok(values)
}

fn value_of(path: &Path) -> Result<OsString> {
    let failed = format!("{} cannot be read", path.display());
    let size = fs::metadata(path).or_fail(&failed)?.len();
    if size > VALUE_BYTES_MAX {
        return Err(format!("it has {size} bytes, more than {VALUE_BYTES_MAX}")).or_fail(&failed);
    }
    Ok(OsString::from_vec(fs::read(path).or_fail(&failed)?))
}

fn joined(first: &OsStr, delimiter: &OsStr, second: &OsStr) -> OsString {
    OsString::from_vec([first.as_bytes(), delimiter.as_bytes(), second.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, content).expect("a file");
    }

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
    }

    #[test]
    fn buildpacks_inherit_home_and_paths_alone() {
        let own = [("HOME", "/h"), ("PATH", "/bin"), ("SECRET", "x"), ("CPATH", "/c")];

        let inherited = inherited(own.map(|(name, value)| (name.into(), value.into())));

        assert_eq!(inherited, variables(&[("HOME", "/h"), ("PATH", "/bin"), ("CPATH", "/c")]));
    }

    #[test]
    fn users_variables_override_and_their_paths_come_first() {
        let root = tempfile::tempdir().expect("a folder");
        file(root.path(), "platform/env/PATH", "/mine");
        file(root.path(), "platform/env/COLOR", "teal\n");
        let mut cleared = variables(&[("PATH", "/bin"), ("COLOR", "red")]);
        let mut set = cleared.clone();

        let (platform, config) = (root.path().join("platform"), root.path().join("config"));
        set_platform(&mut set, &platform, &config, false).expect("set");
        set_platform(&mut cleared, &platform, &config, true).expect("cleared");

        assert_eq!(set, variables(&[("PATH", "/mine:/bin"), ("COLOR", "teal\n")]));
        assert_eq!(cleared, variables(&[("PATH", "/bin"), ("COLOR", "red")]));
    }

    #[test]
    fn the_operators_variables_come_last_and_are_defaults_without_suffix() {
        let root = tempfile::tempdir().expect("a folder");
        file(root.path(), "platform/env/A", "user");
        file(root.path(), "config/env/A", "operator");
        file(root.path(), "config/env/B", "operator");
        file(root.path(), "config/env/C.override", "operator");
        let mut set = variables(&[("C", "image")]);

        set_platform(&mut set, &root.path().join("platform"), &root.path().join("config"), false)
            .expect("set");

        assert_eq!(set, variables(&[("A", "user"), ("B", "operator"), ("C", "operator")]));
    }

    #[test]
    fn folders_of_layers_are_listed_by_name_in_front_of_others() {
        let root = tempfile::tempdir().expect("a folder");
        for path in ["a/bin/x", "a/include/x", "b/bin/x", "b/lib/x"] {
            file(root.path(), path, "");
        }
        let layers = [root.path().join("a"), root.path().join("b")];
        let mut build = variables(&[("PATH", "/bin")]);
        let mut launch = build.clone();

        add_build_layers(&mut build, &layers).expect("build");
        add_launch_layers(&mut launch, &layers, None).expect("launch");

        let at = |path: &str| format!("{}/{path}", root.path().display());
        let path = format!("{}:{}:/bin", at("a/bin"), at("b/bin"));
        let lib = at("b/lib");
        assert_eq!(launch, variables(&[("PATH", &path), ("LD_LIBRARY_PATH", &lib)]));
        let expected = [
            ("PATH", &*path),
            ("LD_LIBRARY_PATH", &lib),
            ("LIBRARY_PATH", &lib),
            ("CPATH", &at("a/include")),
        ];
        assert_eq!(build, variables(&expected));
    }

    #[test]
    fn variables_of_launch_are_those_of_both_phases_then_of_launch_then_of_the_process() {
        let root = tempfile::tempdir().expect("a folder");
        file(root.path(), "a/env/X", "both");
        file(root.path(), "a/env.build/X", "build");
        file(root.path(), "a/env.launch/X.append", "+launch");
        file(root.path(), "a/env.launch/web/X.append", "+web");
        let layers = [root.path().join("a")];
        let value = |process_type| {
            let mut set = Variables::new();
            add_launch_layers(&mut set, &layers, process_type).expect("launch");
            set.remove(OsStr::new("X")).expect("X is set")
        };

        assert_eq!(value(Some("web")), "both+launch+web");
        assert_eq!(value(Some("worker")), "both+launch");
        assert_eq!(value(None), "both+launch");
    }
}
