//! Choice of packs: one by URL, several from `.buildpacks`, or the first of the stack's that detects the app.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use source::packs::{self as rules, Detected, SourceListing};

use super::fetch::{self, PackUrl};
use super::output;
use super::source::{config_value, copy_tree};
use super::step::{self, StepEnvironment};
use super::text_file;
use crate::failure::{OrFailure, SlugError};

/// Most packs that one `.buildpacks` may name.
const PACKS_MAX: usize = 20;
/// The file in which Heroku's apps name their buildpacks.
const APP_JSON: &str = "app.json";
/// Bytes read of a pack's response to detect.
const NAME_BYTES_MAX: u64 = 4096;

/// An available pack.
#[derive(Debug)]
pub struct Pack {
    pub dir: PathBuf,
    /// Its own name for itself, or the name that it was given.
    pub name: String,
    /// Chosen by detection, not named by the user.
    is_detected: bool,
}

impl Pack {
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    /// Returns true if no pack for the app's language was found.
    pub fn is_last_resort(&self) -> bool {
        self.is_detected && short_name(&self.dir) == rules::PROCFILE
    }
}

/// Folders of packs.
pub struct PackSources<'a> {
    /// The stack's own packs, in the order of their folders' names.
    pub built_in: &'a Path,
    /// Folder for fetched packs.
    pub scratch: &'a Path,
    pub build_dir: &'a Path,
    pub env_dir: &'a Path,
    pub listing: &'a SourceListing,
}

/// The language that a source shows, in words for the end of a sentence about it.
pub fn language(listing: &SourceListing) -> String {
    listing.language().map(|(file, language)| format!(" ({file} is there: {language})")).unwrap_or_default()
}

impl PackSources<'_> {
    /// Chooses the packs, in the order of their turns.
    pub fn choose(&self, surroundings: &StepEnvironment) -> Result<Vec<Pack>, SlugError> {
        self.lay_out()?;
        if let Some(wanted) = config_value(self.env_dir, "BUILDPACK_URL").filter(|url| !url.is_empty()) {
            output::title("Fetching custom buildpack");
            let pack = self.take(&wanted, 0, surroundings)?;
            output::title(&format!("{} app detected", pack.name));
            return Ok(vec![pack]);
        }
        if let Some(list) = text_file::read(self.build_dir, rules::LIST)? {
            return self.take_several(&several(&list)?, surroundings);
        }
        let manifest =
            text_file::read(self.build_dir, APP_JSON)?.map(|text| of_app_json(&text)).transpose()?;
        match manifest {
            Some(urls) if !urls.is_empty() => self.take_several(&urls, surroundings),
            _ => self.detect(surroundings).map(|pack| vec![pack]),
        }
    }

    /// Packs may write beside their programs (`export`), so they work on a copy of their own.
    fn lay_out(&self) -> Result<(), SlugError> {
        let to = self.packs();
        if to.exists() {
            fs::remove_dir_all(&to).or_fail(format!("remove {}", to.display()))?;
        }
        copy_tree(self.built_in, &to).or_fail(format!("copy the packs of {}", self.built_in.display()))
    }

    fn packs(&self) -> PathBuf {
        self.scratch.join("buildpacks")
    }

    fn take_several(
        &self,
        wanted: &[String],
        surroundings: &StepEnvironment,
    ) -> Result<Vec<Pack>, SlugError> {
        output::title("Multipack app detected");
        let mut packs = Vec::new();
        for (number, text) in wanted.iter().enumerate() {
            output::title(&format!("Fetching buildpack {} of {}", number + 1, wanted.len()));
            let pack = self.take(text, number, surroundings)?;
            output::line(&pack.name);
            packs.push(pack);
        }
        Ok(packs)
    }

    /// A pack by URL, or by the name of one that the stack has.
    fn take(&self, text: &str, number: usize, surroundings: &StepEnvironment) -> Result<Pack, SlugError> {
        let name = rules::own_name(text);
        let built_in = self.built_in_packs()?.into_iter().find(|dir| short_name(dir) == name);
        let (dir, fallback) = match built_in {
            Some(dir) => (dir, name.to_owned()),
            None => {
                let url = PackUrl::parse(text)?;
                let dir = self.packs().join(format!("fetched-{number}"));
                fetch::fetch(&url, &dir, surroundings)?;
                (dir, url.short_name().to_owned())
            }
        };
        make_executable(&dir)
            .map_err(|reason| SlugError::data(format!("buildpack {text} is no buildpack: {reason}")))?;
        // A pack that the user names is used in any case; the output of detect is only its name.
        let known = rules::find(name).map(|pack| pack.language.to_owned());
        let name = known.or_else(|| self.ask(&dir, surroundings)).unwrap_or(fallback);
        Ok(Pack { dir, name, is_detected: false })
    }

    fn detect(&self, surroundings: &StepEnvironment) -> Result<Pack, SlugError> {
        let packs = self.built_in_packs()?;
        let mut fitting = packs.iter().filter_map(|dir| Some((dir, self.fits(dir, surroundings)?)));
        let Some((dir, name)) = fitting.next() else {
            let names: Vec<_> = packs.iter().map(|dir| short_name(dir)).collect();
            return Err(SlugError::step(format!(
                "Unable to select a buildpack: none of {} fits the source{}, add a Procfile or set BUILDPACK_URL",
                names.join(", "),
                language(self.listing)
            )));
        };
        output::title(&format!("{name} app detected"));
        if let Some(chosen) = rules::find(&short_name(dir)).filter(|pack| pack.is_of_language()) {
            self.name_others(chosen);
        }
        Ok(Pack { dir: dir.clone(), name, is_detected: true })
    }

    /// Says which other languages the source could be of.
    fn name_others(&self, chosen: &rules::Pack) {
        let languages = rules::detect(self.listing).into_iter().filter(|it| it.pack.is_of_language());
        for Detected { pack, file } in languages.filter(|it| it.pack.name != chosen.name) {
            output::line(&format!(
                "{file} is there too: if this is a {} app, run `deis config:set BUILDPACK_URL={}` and push again",
                pack.language, pack.name
            ));
        }
    }

    /// Returns the name of a pack that fits. A pack of the stack fits by the rules that the platform knows too; any other
    /// decides by its `bin/detect`.
    fn fits(&self, dir: &Path, surroundings: &StepEnvironment) -> Option<String> {
        if dir.join("bin/detect").is_file() {
            return self.ask(dir, surroundings);
        }
        rules::find(&short_name(dir))?.fits(self.listing).map(|detected| detected.pack.language.to_owned())
    }

    /// Runs `bin/detect`; its first line is the name if it says yes.
    fn ask(&self, pack: &Path, surroundings: &StepEnvironment) -> Option<String> {
        let debug = config_value(self.env_dir, "DEIS_BUILDPACK_DEBUG").is_some_and(|value| value == "true");
        let command = surroundings.command(&pack.join("bin/detect"), [self.build_dir]);
        let (status, printed) = step::catch(command, NAME_BYTES_MAX, debug).ok()?;
        let name = printed.lines().next().unwrap_or_default().trim();
        let name = if name.is_empty() { short_name(pack) } else { name.to_owned() };
        status.success().then_some(name)
    }

    fn built_in_packs(&self) -> Result<Vec<PathBuf>, SlugError> {
        let packs = self.packs();
        let mut found = Vec::new();
        for entry in fs::read_dir(&packs).or_fail(format!("read {}", packs.display()))? {
            let dir = entry.or_fail(format!("read {}", packs.display()))?.path();
            if dir.join("bin/compile").is_file() && !short_name(&dir).starts_with("fetched-") {
                found.push(dir);
            }
        }
        found.sort();
        Ok(found)
    }
}

fn several(list: &str) -> Result<Vec<String>, SlugError> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let wanted: Vec<_> = lines.map(str::to_owned).collect();
    match wanted.len() {
        0 => Err(SlugError::data(".buildpacks names no pack: list one URL a line, or remove the file")),
        1..=PACKS_MAX => Ok(wanted),
        many => Err(SlugError::data(format!(".buildpacks names {many} packs, {PACKS_MAX} are the most"))),
    }
}

/// Members of an app.json (Heroku's "app.json schema") that are read.
#[derive(serde::Deserialize)]
struct AppJson {
    #[serde(default)]
    buildpacks: Vec<AppJsonPack>,
}

#[derive(serde::Deserialize)]
struct AppJsonPack {
    url: String,
}

/// URLs of the buildpacks of an app.json; none where it names none.
fn of_app_json(text: &str) -> Result<Vec<String>, SlugError> {
    let manifest: AppJson = serde_json::from_str(text).map_err(|error| {
        SlugError::data(format!(
            "{APP_JSON} is not valid: {error}; its buildpacks are a list of objects with a `url`"
        ))
    })?;
    match manifest.buildpacks.len() {
        0..=PACKS_MAX => Ok(manifest.buildpacks.into_iter().map(|pack| pack.url).collect()),
        many => Err(SlugError::data(format!("{APP_JSON} names {many} buildpacks, {PACKS_MAX} are the most"))),
    }
}

/// `python` for the folder `10-python`.
fn short_name(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    match name.split_once('-') {
        Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => rest.to_owned(),
        _ => name.into_owned(),
    }
}

/// Archives and careless commits lose the executable bits.
fn make_executable(pack: &Path) -> Result<(), String> {
    if !pack.join("bin/compile").is_file() {
        return Err("it has no bin/compile".to_owned());
    }
    for name in ["detect", "compile", "release"] {
        let program = pack.join("bin").join(name);
        if program.is_file() {
            set_executable(&program).map_err(|error| format!("bin/{name}: {error}"))?;
        }
    }
    Ok(())
}

pub fn set_executable(program: &Path) -> io::Result<()> {
    let mode = fs::metadata(program)?.permissions().mode();
    if mode & 0o100 == 0 {
        fs::set_permissions(program, fs::Permissions::from_mode(mode | 0o755))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_packs_has_one_a_line() {
        assert_eq!(
            several("\n# first\nnodejs\n  https://a.example/p.git#v1\r\n"),
            Ok(vec!["nodejs".to_owned(), "https://a.example/p.git#v1".to_owned()])
        );
        assert!(several("# nothing\n").is_err());
        assert!(several(&"go\n".repeat(PACKS_MAX + 1)).is_err());
    }

    #[test]
    fn an_app_json_names_packs_in_order_or_none() {
        let packs = |text| of_app_json(text).map_err(|error| error.message);
        let two =
            r#"{"name": "x", "buildpacks": [{"url": "heroku/nodejs"}, {"url": "https://a.example/p.git"}]}"#;
        assert_eq!(packs(two), Ok(vec!["heroku/nodejs".to_owned(), "https://a.example/p.git".to_owned()]));
        assert_eq!(packs(r#"{"env": {}}"#), Ok(Vec::new()));
        for bad in ["{", r#"{"buildpacks": ["heroku/go"]}"#] {
            let told = packs(bad).expect_err("it is not valid");
            assert!(told.starts_with("app.json is not valid: "), "{told}");
        }
    }

    #[test]
    fn the_number_of_a_folder_is_not_part_of_the_packs_name() {
        assert_eq!(short_name(Path::new("/buildpacks/10-python")), "python");
        assert_eq!(short_name(Path::new("/buildpacks/static-site")), "static-site");
    }
}
