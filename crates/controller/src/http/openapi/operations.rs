//! Description of each operation: its body and its responses. A test keeps the table complete; it is long because
//! it has one fact a row.

use FieldKind::{Boolean, Number, Numbers, Object, Text, Texts};
use ResponseKind::{Any, Empty, Events, Lines, List, One, Page};

pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) body: BodyKind,
    pub(super) answers: &'static [(u16, ResponseKind)],
}

pub(super) enum BodyKind {
    None,
    Fields(&'static [Field]),
    /// Process types and how many of each.
    Scale,
}

pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: FieldKind,
    pub(super) required: bool,
}

#[derive(Clone, Copy)]
pub(super) enum FieldKind {
    Text,
    Number,
    Boolean,
    Object,
    Texts,
    Numbers,
}

/// Content of a successful response; names are those of schemas.
#[derive(Clone, Copy)]
pub(super) enum ResponseKind {
    Empty,
    Any,
    Lines,
    /// JSON values, each on a line of its own, without an end.
    Events(&'static str),
    One(&'static str),
    List(&'static str),
    Page(&'static str),
}

const fn must(name: &'static str, kind: FieldKind) -> Field {
    Field { name, kind, required: true }
}

const fn may(name: &'static str, kind: FieldKind) -> Field {
    Field { name, kind, required: false }
}

const fn get(
    path: &'static str,
    summary: &'static str,
    answers: &'static [(u16, ResponseKind)],
) -> Operation {
    Operation { method: "GET", path, summary, body: BodyKind::None, answers }
}

const fn post(
    path: &'static str,
    summary: &'static str,
    fields: &'static [Field],
    answers: &'static [(u16, ResponseKind)],
) -> Operation {
    Operation { method: "POST", path, summary, body: BodyKind::Fields(fields), answers }
}

const fn delete(path: &'static str, summary: &'static str, fields: &'static [Field]) -> Operation {
    let body = if fields.is_empty() { BodyKind::None } else { BodyKind::Fields(fields) };
    Operation { method: "DELETE", path, summary, body, answers: &[(204, Empty)] }
}

const USERNAME: &[Field] = &[must("username", Text)];
const CONFIG: &[Field] = &[
    may("values", Object),
    may("memory", Object),
    may("lifecycle_post_start", Object),
    may("lifecycle_pre_stop", Object),
    may("cpu", Object),
    may("tags", Object),
    may("registry", Object),
    may("healthcheck", Object),
    may("termination_grace_period", Object),
];

pub(super) const OPERATIONS: &[Operation] = &[
    get("/v2/", "Says whether the credentials are good", &[(200, Any)]),
    get("/v2/openapi.json", "Describes the API", &[(200, Any)]),
    post(
        "/v2/auth/register",
        "Makes an account; the first one is an administrator's",
        &[
            must("username", Text),
            must("password", Text),
            may("email", Text),
            may("first_name", Text),
            may("last_name", Text),
        ],
        &[(201, One("User"))],
    ),
    post(
        "/v2/auth/login/",
        "Makes a token",
        &[must("username", Text), must("password", Text)],
        &[(200, One("Token"))],
    ),
    get("/v2/auth/whoami", "Shows the caller's account", &[(200, One("User"))]),
    post(
        "/v2/auth/passwd",
        "Changes a password",
        &[must("new_password", Text), may("password", Text), may("username", Text)],
        &[(200, Any)],
    ),
    post(
        "/v2/auth/tokens/",
        "Ends all tokens of an account, or of all, and makes a new one",
        &[may("username", Text), may("all", Boolean)],
        &[(200, Any)],
    ),
    delete("/v2/auth/tokens/", "Ends the token that comes with the request", &[]),
    delete("/v2/auth/cancel", "Ends an account", &[may("username", Text)]),
    get("/v2/users", "Lists all accounts", &[(200, Page("User"))]),
    get("/v2/admin/perms", "Lists administrators", &[(200, Page("Administrator"))]),
    post("/v2/admin/perms", "Makes a user an administrator", USERNAME, &[(201, Empty)]),
    delete("/v2/admin/perms/{username}", "Makes an administrator an ordinary user", &[]),
    get("/v2/keys", "Lists SSH keys", &[(200, Page("Key"))]),
    post("/v2/keys", "Adds an SSH key", &[must("id", Text), must("public", Text)], &[(201, One("Key"))]),
    get("/v2/keys/{*id}", "Shows an SSH key", &[(200, One("Key"))]),
    delete("/v2/keys/{*id}", "Removes an SSH key", &[]),
    get("/v2/certs", "Lists certificates", &[(200, Page("Cert"))]),
    post(
        "/v2/certs",
        "Adds a certificate with its key, both PEM",
        &[must("name", Text), must("certificate", Text), must("key", Text), may("force", Boolean)],
        &[(201, One("Cert"))],
    ),
    get("/v2/certs/{name}", "Shows a certificate", &[(200, One("Cert"))]),
    delete("/v2/certs/{name}", "Removes a certificate", &[]),
    post(
        "/v2/certs/{name}/domain",
        "Attaches a certificate to a domain",
        &[must("domain", Text)],
        &[(201, Empty)],
    ),
    post("/v2/certs/{name}/domain/{domain}", "Attaches a certificate to a domain", &[], &[(201, Empty)]),
    delete("/v2/certs/{name}/domain/{domain}", "Detaches a certificate from a domain", &[]),
    get("/v2/apps", "Lists apps", &[(200, Page("App"))]),
    post("/v2/apps", "Makes an app", &[may("id", Text)], &[(201, One("App"))]),
    get("/v2/apps/{app}", "Shows an app", &[(200, One("App"))]),
    post("/v2/apps/{app}", "Gives an app to another owner", &[may("owner", Text)], &[(200, Empty)]),
    delete("/v2/apps/{app}", "Destroys an app", &[]),
    get("/v2/apps/{app}/perms", "Lists collaborators", &[(200, One("Collaborators"))]),
    post("/v2/apps/{app}/perms", "Adds a collaborator", USERNAME, &[(201, Empty)]),
    delete("/v2/apps/{app}/perms/{username}", "Removes a collaborator", &[]),
    get("/v2/apps/{app}/domains", "Lists domains", &[(200, Page("Domain"))]),
    post("/v2/apps/{app}/domains", "Adds a domain", &[must("domain", Text)], &[(201, One("Domain"))]),
    delete("/v2/apps/{app}/domains/{domain}", "Removes a domain", &[]),
    get("/v2/apps/{app}/settings", "Shows settings", &[(200, One("Settings"))]),
    post(
        "/v2/apps/{app}/settings",
        "Changes settings; null removes an entry",
        &[
            may("maintenance", Boolean),
            may("routable", Boolean),
            may("access_log", Boolean),
            may("whitelist", Texts),
            may("autoscale", Object),
            may("label", Object),
            may("git_branch", Text),
        ],
        &[(201, One("Settings"))],
    ),
    get("/v2/apps/{app}/whitelist", "Lists addresses that may reach an app", &[(200, One("Whitelist"))]),
    post(
        "/v2/apps/{app}/whitelist",
        "Adds addresses",
        &[must("addresses", Texts)],
        &[(201, One("Whitelist"))],
    ),
    delete("/v2/apps/{app}/whitelist", "Removes addresses", &[must("addresses", Texts)]),
    get("/v2/apps/{app}/tls", "Says whether HTTPS is enforced", &[(200, One("Tls"))]),
    post(
        "/v2/apps/{app}/tls",
        "Enforces HTTPS or stops enforcing it",
        &[may("https_enforced", Boolean)],
        &[(201, One("Tls"))],
    ),
    get("/v2/apps/{app}/certs/auto", "Shows automatic certificates", &[(200, One("AutoCerts"))]),
    post(
        "/v2/apps/{app}/certs/auto",
        "Gets certificates for an app's domains by itself, or no longer",
        &[must("enabled", Boolean)],
        &[(201, One("AutoCerts"))],
    ),
    get("/v2/apps/{app}/services", "Lists services", &[(200, One("Services"))]),
    post(
        "/v2/apps/{app}/services",
        "Adds a service or changes its paths",
        &[must("procfile_type", Text), must("path_pattern", Text)],
        &[(201, Empty), (204, Empty)],
    ),
    delete("/v2/apps/{app}/services", "Removes a service", &[must("procfile_type", Text)]),
    get("/v2/apps/{app}/logs", "Shows the last lines of the log", &[(200, Lines), (204, Empty)]),
    get(
        "/v2/apps/{app}/logs/follow",
        "Shows the last lines of the log, or those after the one with the id `after`, and new ones as they come",
        &[(200, Events("LogEvent"))],
    ),
    get("/v2/apps/{app}/config", "Shows the config", &[(200, One("Config"))]),
    post(
        "/v2/apps/{app}/config",
        "Changes the config, which makes a release; null removes an entry",
        CONFIG,
        &[(201, One("Config"))],
    ),
    get("/v2/apps/{app}/builds", "Lists builds", &[(200, Page("Build"))]),
    post(
        "/v2/apps/{app}/builds",
        "Releases an image",
        &[
            must("image", Text),
            may("sha", Text),
            may("procfile", Object),
            may("dockerfile", Text),
            may("ports", Numbers),
        ],
        &[(201, One("Build"))],
    ),
    get("/v2/apps/{app}/builds/{uuid}", "Shows a build", &[(200, One("Build"))]),
    get("/v2/apps/{app}/releases", "Lists releases", &[(200, Page("Release"))]),
    post(
        "/v2/apps/{app}/releases/rollback",
        "Goes back to an earlier release, which makes a new one",
        &[may("version", Number)],
        &[(201, One("RolledBack"))],
    ),
    get("/v2/apps/{app}/releases/{version}", "Shows a release, such as v3", &[(200, One("Release"))]),
    Operation {
        method: "POST",
        path: "/v2/apps/{app}/scale",
        summary: "Sets how many of each process type run",
        body: BodyKind::Scale,
        answers: &[(204, Empty)],
    },
    post(
        "/v2/apps/{app}/run",
        "Runs a command in a process of its own",
        &[must("command", Text), may("encoding", Text)],
        &[(200, One("RunResult"))],
    ),
    get(
        "/v2/apps/{app}/run/terminal",
        "Runs a command with somebody in front of it: a WebSocket, see docs/terminal-protocol.md",
        &[(101, Empty)],
    ),
    get(
        "/v2/apps/{app}/pods/{type}/{name}/exec",
        "Runs a command in a process that runs: a WebSocket, see docs/terminal-protocol.md",
        &[(101, Empty)],
    ),
    get("/v2/apps/{app}/pods", "Lists processes", &[(200, One("Pods"))]),
    post("/v2/apps/{app}/pods/restart", "Restarts all processes", &[], &[(200, List("Pod"))]),
    get("/v2/apps/{app}/pods/{type}", "Lists processes of a type", &[(200, One("Pods"))]),
    post("/v2/apps/{app}/pods/{type}/restart", "Restarts a process type", &[], &[(200, List("Pod"))]),
    get("/v2/apps/{app}/pods/{type}/{name}", "Lists one process", &[(200, One("Pods"))]),
    post("/v2/apps/{app}/pods/{type}/{name}/restart", "Restarts one process", &[], &[(200, List("Pod"))]),
];
