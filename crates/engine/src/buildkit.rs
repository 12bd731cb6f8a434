//! BuildKit's command lines: how its daemon starts without privileges, and what a build of a Dockerfile asks
//! of it. Pure; each engine starts the programs in its own way.
//!
//! The container starts as root with two capabilities, SETUID and SETGID, and keeps them only to map a user
//! namespace (user_namespaces(7)): `setpriv` becomes [`USER_ID`], `unshare` makes the namespace, `buildkitd`
//! runs as its root. See docs/decisions/0016-dockerfiles-are-built-by-rootless-buildkit.md.

use std::collections::BTreeMap;

use domain::Digest;
use domain::build_plan::DockerfileOptions;
use domain::image_reference::ImageReference;

/// User and group of the daemon; `/etc/subuid` of the image gives it the ids that images use.
pub const USER_ID: u32 = 1000;
/// Capabilities that mapping a user namespace takes.
pub const CAPABILITIES: [&str; 2] = ["SETUID", "SETGID"];
/// The daemon's folder for snapshots, blobs and their records: the layer cache.
pub const STATE: &str = "/var/lib/buildkit";
/// Variables of the daemon: runc puts its own state below the first.
pub const ENVIRONMENT: [(&str, &str); 2] =
    [("XDG_RUNTIME_DIR", "/var/lib/workflow"), ("HOME", "/var/lib/workflow")];
/// Build arguments that a Dockerfile knows without an `ARG` and that are no part of the image's history
/// (Dockerfile reference, "Predefined ARGs").
const PROXY_ARGS: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Seconds that the client waits for a daemon that starts on a busy machine.
const CONNECT_SECONDS_MAX: u32 = 120;
const ADDRESS: &str = "unix:///var/lib/workflow/buildkitd.sock";
const CONFIG: &str = "/etc/buildkit/buildkitd.toml";

/// The configuration's path without its leading slash, for archives.
pub fn config_path() -> &'static str {
    CONFIG.trim_start_matches('/')
}

/// PID namespace and `/proc` for each step of a build. They need a container whose `/proc` is not masked, which
/// Kubernetes offers only with user namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessSandbox {
    Yes,
    No,
}

/// Starts the daemon.
pub fn daemon(sandbox: ProcessSandbox) -> Vec<String> {
    let lock = format!("{STATE}/daemon.lock");
    let mut words = in_user_namespace();
    // A build whose container is still being removed holds the cache for a moment longer.
    words.extend(words_of(&["flock", &lock, "buildkitd", "--config", CONFIG]));
    words.extend(words_of(&["--root", STATE, "--addr", ADDRESS]));
    if sandbox == ProcessSandbox::No {
        words.push("--oci-worker-no-process-sandbox".to_owned());
    }
    words
}

/// Begins a command line that runs as root of a user namespace with all ids of images.
pub fn in_user_namespace() -> Vec<String> {
    let mut words = as_user();
    words.extend(words_of(&["--inh-caps", "-all,+setuid,+setgid", "--ambient-caps", "-all,+setuid,+setgid"]));
    words.extend(words_of(&["unshare", "--user", "--map-auto", "--map-root-user", "--mount"]));
    words
}

/// Begins a command line that runs as the daemon's user; more options of `setpriv` may follow.
fn as_user() -> Vec<String> {
    as_id(USER_ID)
}

fn as_id(id: u32) -> Vec<String> {
    let id = id.to_string();
    words_of(&["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"])
}

/// Fetches the submodules of the source as its owner, without any capability; the image has the stack's `slug`.
pub fn submodules(owner_id: u32) -> Vec<String> {
    let mut words = as_id(owner_id);
    words.extend(words_of(&["slug", "submodules"]));
    words
}

/// Inputs of a build and the target of its result.
#[derive(Debug)]
pub struct FrontendBuild<'a> {
    /// Folder with the source; BuildKit's client reads its `.dockerignore`.
    pub source: &'a str,
    pub dockerfile: &'a DockerfileOptions,
    /// Files that steps of the Dockerfile may mount by their names (`RUN --mount=type=secret,id=NAME`), which leaves
    /// nothing in the image.
    pub secrets: &'a BTreeMap<String, String>,
    pub output: Output<'a>,
    pub compression: Compression,
    pub args: &'a BTreeMap<String, String>,
    pub labels: &'a BTreeMap<String, String>,
    pub bases: &'a [Base],
    /// Reuses steps of earlier builds.
    pub cache: bool,
    /// Cache outside of the daemon's own state.
    pub layers: Option<Layers<'a>>,
    /// Allows a `# syntax=` line to load another frontend, an image that BuildKit pulls and runs.
    pub other_frontends: bool,
}

/// Compression of the layers of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Read by every version of Docker.
    Gzip,
    /// Packed four times faster than gzip and smaller. Read by containerd 1.5, CRI-O 1.20, Docker 23 and later.
    Zstd,
}

impl Compression {
    fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Target of the result.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    /// Folder for an OCI layout.
    Layout(&'a str),
    /// Name in a registry. Layers that this has are neither fetched nor sent.
    Registry(&'a str),
}

/// Layer cache in a registry. The build adds its own layers.
#[derive(Debug)]
pub struct Layers<'a> {
    /// Name of the cache.
    pub name: &'a str,
    /// There is one to import.
    pub is_filled: bool,
}

/// An image that a Dockerfile may name though no registry gives it under that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    pub name: ImageReference,
    pub place: BasePlace,
}

/// Location of a base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BasePlace {
    /// An OCI layout in a folder, and the digest of its manifest.
    Layout { folder: String, digest: Digest },
    /// Another name, in a registry.
    Registry(String),
}

/// Builds the Dockerfile of a source.
pub fn build(build: &FrontendBuild<'_>) -> Vec<String> {
    let FrontendBuild {
        source,
        dockerfile,
        secrets,
        output,
        compression,
        args,
        labels,
        bases,
        cache,
        layers,
        other_frontends,
    } = build;
    let (folder, file) = dockerfile.path.split();
    let compression = compression.as_str();
    let mut words = client("build");
    words.extend(words_of(&["--progress", "plain", "--frontend", "dockerfile.v0"]));
    let context = dockerfile.context.as_str();
    words.push(format!("--local=context={source}/{context}").trim_end_matches('/').to_owned());
    words.push(format!("--local=dockerfile={source}/{folder}").trim_end_matches('/').to_owned());
    words.extend(secrets.iter().map(|(name, file)| format!("--secret=id={name},src={file}")));
    words.push(match output {
        Output::Layout(folder) => {
            format!("--output=type=oci,tar=false,dest={folder},compression={compression}")
        }
        Output::Registry(name) => {
            format!("--output=type=image,oci-mediatypes=true,push=true,name={name},compression={compression}")
        }
    });
    let mut options = vec![format!("filename={file}")];
    options.extend(dockerfile.target.iter().map(|target| format!("target={target}")));
    if !other_frontends {
        // With a command line given, the frontend does not look for a `# syntax=` line.
        options.push("cmdline=dockerfile.v0".to_owned());
    }
    let own = dockerfile.args.iter().filter(|(name, _)| is_of_build(name) && !args.contains_key(*name));
    options.extend(args.iter().chain(own).map(|(name, value)| format!("build-arg:{name}={value}")));
    options.extend(labels.iter().map(|(name, value)| format!("label:{name}={value}")));
    for (number, base) in bases.iter().enumerate() {
        let name = context_name(&base.name);
        options.push(match &base.place {
            BasePlace::Layout { folder, digest } => {
                words.push(format!("--oci-layout=base{number}={folder}"));
                format!("context:{name}=oci-layout://base{number}@{digest}")
            }
            BasePlace::Registry(place) => format!("context:{name}=docker-image://{place}"),
        });
    }
    words.extend(options.into_iter().map(|option| format!("--opt={option}")));
    if !cache {
        words.push("--no-cache".to_owned());
    }
    if let Some(Layers { name, is_filled }) = layers {
        if *is_filled {
            words.push(format!("--import-cache=type=registry,ref={name}"));
        }
        // `mode=max`: the layers of all stages.
        words.push(format!(
            "--export-cache=type=registry,ref={name},mode=max,ignore-error=true,compression={compression}"
        ));
    }
    words
}

/// Removes the least recently used records until the cache is no larger.
pub fn prune(bytes_max: u64) -> Vec<String> {
    let mut words = client("prune");
    // The client counts in decimal megabytes.
    words.extend(["--all".to_owned(), format!("--keep-storage={}", bytes_max / 1_000_000)]);
    words
}

/// Removes what the daemon kept of the sources of builds; results of steps stay.
pub fn forget_sources() -> Vec<String> {
    let mut words = client("prune");
    words.push("--filter=type==source.local".to_owned());
    words
}

/// `buildctl` as the daemon's user, waiting for a daemon that has not come up yet.
fn client(command: &str) -> Vec<String> {
    let mut words = as_user();
    let timeout = CONNECT_SECONDS_MAX.to_string();
    words.extend(words_of(&["buildctl", "--addr", ADDRESS, "--timeout", &timeout, "--wait", command]));
    words
}

fn words_of(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The name under which the frontend looks for a named context: as in the Dockerfile, `latest` left out.
fn context_name(name: &ImageReference) -> String {
    let shown = name.pinned_name();
    shown.strip_suffix(":latest").map_or(shown.clone(), str::to_owned)
}

/// The daemon's configuration: no garbage collection but ours, no history of builds, and the registries that
/// speak plain HTTP (buildkitd.toml).
pub fn config<'a>(insecure_hosts: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = "[log]\n  level = \"error\"\n[otel]\n  socketPath = \"/var/lib/workflow/otel.sock\"\n[history]\n  maxEntries = 0\n[cdi]\n  disabled = true\n\
                    [worker.containerd]\n  enabled = false\n[worker.oci]\n  gc = false\n"
        .to_owned();
    for host in insecure_hosts {
        text.push_str(&format!("[registry.{host:?}]\n  http = true\n"));
    }
    text
}

/// The platform's proxies among its variables of builds, and the app's config where it asked for that.
pub fn build_args<'a>(
    platform: impl IntoIterator<Item = (&'a String, &'a String)>,
    config: Option<&'a BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let is_proxy = |name: &str| PROXY_ARGS.contains(&name.to_ascii_uppercase().as_str());
    let proxies = platform.into_iter().filter(|(name, _)| is_proxy(name));
    let given = proxies.chain(config.into_iter().flatten());
    given.filter(|(name, _)| is_of_build(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns false for arguments that would change the frontend, not the build (BuildKit's "built-in build args").
fn is_of_build(name: &str) -> bool {
    !name.starts_with("BUILDKIT_")
}

/// Bytes kept of the end of the client's output.
const TAIL_BYTES_MAX: usize = 64 << 10;
/// The client's warning about file systems whose blobs it cannot seal, which helps no pusher.
const NOISE: &[u8] = b"level=warning msg=\"failed check for fsverity support\"";

/// The output of the client for the pusher: line by line, without noise, with its end kept.
#[derive(Debug, Default)]
pub struct ClientOutput {
    tail: Vec<u8>,
    /// A line that has not ended yet.
    begun: Vec<u8>,
}

impl ClientOutput {
    /// Takes a piece and gives back what of it is to be shown now.
    pub fn take(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.begun.extend_from_slice(chunk);
        let mut shown = Vec::new();
        let ends = self.begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // A line without an end is passed on once it is long.
        let ends = if self.begun.len() > TAIL_BYTES_MAX { self.begun.len() } else { ends };
        for line in self.begun.drain(..ends).collect::<Vec<_>>().split_inclusive(|byte| *byte == b'\n') {
            if !line.windows(NOISE.len()).any(|part| part == NOISE) {
                shown.extend_from_slice(line);
            }
        }
        self.keep(&shown);
        shown
    }

    /// The rest, when the output has ended.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.begun);
        self.keep(&rest);
        rest.extend(self.unknown_instruction().into_iter().flat_map(String::into_bytes));
        rest
    }

    /// An unknown instruction in the words of Docker's first builder, which people and scripts look for.
    fn unknown_instruction(&self) -> Option<String> {
        let tail = String::from_utf8_lossy(&self.tail);
        let (_, instruction) = tail
            .lines()
            .next_back()?
            .split_once(" parse error on line ")?
            .1
            .split_once(": unknown instruction: ")?;
        let break_before = if tail.ends_with('\n') { "" } else { "\n" };
        Some(format!("{break_before}Unknown instruction: {instruction}\n"))
    }

    fn keep(&mut self, shown: &[u8]) {
        self.tail.extend_from_slice(shown);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..surplus);
    }

    /// Returns true if nothing has been shown yet.
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty()
    }

    /// The exit code of the step that failed, from the last line; else 1.
    pub fn exit_code(&self) -> i64 {
        let tail = String::from_utf8_lossy(&self.tail);
        let line = tail.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        let code = line.rsplit_once("did not complete successfully: exit code: ").map(|(_, code)| code);
        code.and_then(|code| code.trim().parse().ok()).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use domain::build_plan::SourcePath;

    use super::*;

    fn words(other_frontends: bool, bases: &[Base]) -> Vec<String> {
        let args = BTreeMap::from([("COLOR".to_owned(), "teal".to_owned())]);
        build(&FrontendBuild {
            source: "/workspace/source",
            dockerfile: &DockerfileOptions::default(),
            secrets: &BTreeMap::new(),
            output: Output::Layout("/workspace/out/image"),
            compression: Compression::Gzip,
            args: &args,
            labels: &BTreeMap::new(),
            bases,
            cache: true,
            layers: None,
            other_frontends,
        })
    }

    #[test]
    fn layers_are_imported_once_there_are_some_and_their_export_fails_no_build() {
        let words = |is_filled| {
            build(&FrontendBuild {
                source: "/workspace/source",
                dockerfile: &DockerfileOptions::default(),
                secrets: &BTreeMap::new(),
                output: Output::Registry("127.0.0.1:1/image:built"),
                compression: Compression::Zstd,
                args: &BTreeMap::new(),
                labels: &BTreeMap::new(),
                bases: &[],
                cache: true,
                layers: Some(Layers { name: "127.0.0.1:1/cache:layers", is_filled }),
                other_frontends: false,
            })
        };
        let import = "--import-cache=type=registry,ref=127.0.0.1:1/cache:layers".to_owned();
        let export =
            "--export-cache=type=registry,ref=127.0.0.1:1/cache:layers,mode=max,ignore-error=true,compression=zstd"
                .to_owned();
        let output =
            "--output=type=image,oci-mediatypes=true,push=true,name=127.0.0.1:1/image:built,compression=zstd"
                .to_owned();

        assert!(words(true).contains(&import) && words(true).contains(&export));
        assert!(!words(false).contains(&import) && words(false).contains(&export));
        assert!(words(false).contains(&output));
    }

    #[test]
    fn another_dockerfile_a_stage_and_secrets_are_asked_for_by_name() {
        let path = |text| SourcePath::parse(text).expect("a path");
        let args = [("LEVEL", "3"), ("BUILDKIT_SYNTAX", "x")];
        let dockerfile = DockerfileOptions {
            context: path("docker"),
            path: path("docker/web.Dockerfile"),
            target: Some("runtime".to_owned()),
            args: args.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            ..DockerfileOptions::default()
        };
        let words = build(&FrontendBuild {
            source: "/workspace/source",
            dockerfile: &dockerfile,
            secrets: &BTreeMap::from([("TOKEN".to_owned(), "/workspace/env/TOKEN".to_owned())]),
            output: Output::Layout("/workspace/out/image"),
            compression: Compression::Gzip,
            args: &BTreeMap::new(),
            labels: &BTreeMap::new(),
            bases: &[],
            cache: true,
            layers: None,
            other_frontends: false,
        });

        for word in [
            "--local=context=/workspace/source/docker",
            "--opt=build-arg:LEVEL=3",
            "--local=dockerfile=/workspace/source/docker",
            "--opt=filename=web.Dockerfile",
            "--opt=target=runtime",
            "--secret=id=TOKEN,src=/workspace/env/TOKEN",
        ] {
            assert!(words.contains(&word.to_owned()), "{word} is not in {words:?}");
        }
        assert!(!words.iter().any(|word| word.contains("BUILDKIT_")), "{words:?}");
    }

    #[test]
    fn a_syntax_line_is_not_looked_at_unless_the_operator_allows_it() {
        assert!(words(false, &[]).contains(&"--opt=cmdline=dockerfile.v0".to_owned()));
        assert!(!words(true, &[]).iter().any(|word| word.contains("cmdline")));
    }

    #[test]
    fn a_listed_base_is_a_context_under_the_name_that_dockerfiles_use() {
        let name = |text| ImageReference::parse(text).expect("a reference");
        let digest = Digest::of(b"manifest");
        let bases = [
            Base {
                name: name("deis/stack:latest"),
                place: BasePlace::Layout { folder: "/bases/0/x".to_owned(), digest: digest.clone() },
            },
            Base {
                name: name("example.com:5000/base:v2"),
                place: BasePlace::Registry("registry/base:v2".to_owned()),
            },
        ];

        let words = words(false, &bases);

        assert!(words.contains(&"--oci-layout=base0=/bases/0/x".to_owned()), "{words:?}");
        assert!(
            words.contains(&format!("--opt=context:deis/stack=oci-layout://base0@{digest}")),
            "{words:?}"
        );
        let other = "--opt=context:example.com:5000/base:v2=docker-image://registry/base:v2";
        assert!(words.contains(&other.to_owned()), "{words:?}");
    }

    #[test]
    fn arguments_that_would_change_the_frontend_are_left_out() {
        let text = |text: &str| text.to_owned();
        let platform = BTreeMap::from([
            (text("http_proxy"), text("http://proxy")),
            (text("PIP_INDEX_URL"), text("http://pip")),
        ]);
        let config = BTreeMap::from([(text("BUILDKIT_SYNTAX"), text("evil")), (text("A"), text("b"))]);

        let args = build_args(&platform, Some(&config));

        let expected = [(text("A"), text("b")), (text("http_proxy"), text("http://proxy"))];
        assert_eq!(args, BTreeMap::from(expected));
    }

    #[test]
    fn the_exit_code_of_a_step_is_read_from_the_last_line() {
        let code = |text: &str| {
            let mut said = ClientOutput::default();
            said.take(text.as_bytes());
            said.rest();
            said.exit_code()
        };
        let failed = "#5 ERROR\nerror: failed to solve: process \"/bin/sh -c exit 7\" did not complete \
                      successfully: exit code: 7\n";
        assert_eq!(code(failed), 7);
        assert_eq!(code("error: failed to solve: dockerfile parse error on line 2: unknown instruction"), 1);
    }

    #[test]
    fn an_unknown_instruction_is_told_in_the_words_of_the_first_builder_too() {
        for (end, lead) in [("", "\n"), ("\n", "")] {
            let mut said = ClientOutput::default();
            let text = format!(
                "error: failed to solve: dockerfile parse error on line 2: unknown instruction: BOGUS{end}"
            );
            let shown = [said.take(text.as_bytes()), said.rest()].concat();
            assert_eq!(String::from_utf8_lossy(&shown), format!("{text}{lead}Unknown instruction: BOGUS\n"));
            assert_eq!(said.exit_code(), 1);
        }
        let mut said = ClientOutput::default();
        said.take(b"#5 0.1 parse error on line 2: unknown instruction: X\nerror: failed\n");
        assert_eq!(said.rest(), b"");
    }

    #[test]
    fn output_comes_line_by_line_without_the_clients_noise() {
        let mut said = ClientOutput::default();

        assert_eq!(said.take(b"time=\"x\" level=warning msg=\"failed check for fsv"), b"");
        assert_eq!(said.take(b"erity support\" error=\"y\"\n#1 [internal]\n#2 la"), b"#1 [internal]\n");
        assert_eq!(said.rest(), b"#2 la");
    }

    #[test]
    fn registries_without_encryption_are_named_in_the_configuration() {
        let text = config(["registry.example.com:5000"]);

        assert!(text.ends_with("[registry.\"registry.example.com:5000\"]\n  http = true\n"), "{text}");
    }
}
