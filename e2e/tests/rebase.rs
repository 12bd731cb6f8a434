//! Apps on newer images of their stack, without a push: docs/stacks.md, "Rebase". What Kubernetes does in another way is a
//! promise of builds, so that these run on one machine only.

use std::path::Path;

use e2e::{Platform, User, Visitors};
use testkit::docker::docker;

const SERVER: &str = "\
import http.server, os, pathlib
note = pathlib.Path('/etc/stack-note')
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (note.read_text() if note.exists() else 'first').encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
";
const APP: [(&str, &str); 2] = [("Procfile", "web: exec python3 server.py\n"), ("server.py", SERVER)];

/// A stack of the scenario's own; its images go with it.
struct OwnStack {
    name: String,
}

impl OwnStack {
    fn new() -> Self {
        let name = format!("deis-e2e-stack-{}", std::process::id());
        docker(&["tag", "deis/stack:trixie", &format!("{name}:latest")]);
        Self { name }
    }

    fn settings(&self) -> String {
        let run = format!("{}:latest", self.name);
        let own = serde_json::json!({ "run": run, "build": "deis/stack:trixie-build" });
        serde_json::json!({ "default": "own", "stacks": { "own": own } }).to_string()
    }

    /// A newer run image: the platform's with what this script changes.
    fn renew(&self, script: &str) {
        let container = format!("{}-renewed", self.name);
        let run = ["run", "--name", &container, "--user", "0", "--entrypoint", "/bin/sh"];
        docker(&[&run[..], &["deis/stack:trixie", "-c", script]].concat());
        docker(&["commit", &container, &format!("{}:latest", self.name)]);
        docker(&["rm", &container]);
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        docker(&["rmi", "--force", &format!("{}:latest", self.name)]);
    }
}

fn deploy(platform: &Platform, user: &User<'_>, app: &str) {
    let folder = user.app_from_files(app, &APP);
    user.push(&folder).ok();
    platform.wait_for_answer(app, "first");
}

#[test]
fn apps_are_rebased_one_or_all_and_no_request_is_lost() {
    let stack = OwnStack::new();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), stack.settings()).expect("it can be written");
    let platform = Platform::with_stacks(Path::new(file.path()));
    let admin = platform.admin();
    for app in ["one", "two", "three"] {
        deploy(&platform, &admin, app);
    }
    let all = ["rebase", "--stack", "own"];

    let same = admin.deis(&["releases:rebase", "-a", "one"]).ok();
    assert!(same.all().contains("nothing to do, it is on the newest own"), "{}", same.all());

    stack.renew("printf second >/etc/stack-note");
    let visitors = Visitors::of(&platform, "one");
    let done = admin.deis(&["releases:rebase", "-a", "one"]).ok();
    platform.wait_for_answer("one", "second");
    let (requests, lost) = visitors.leave();
    assert!(done.all().contains("done, v3 on the newest own"), "{}", done.all());
    assert!(requests > 10 && lost.is_empty(), "{} of {requests} lost: {lost:?}", lost.len());
    let releases = admin.deis(&["releases", "-a", "one"]).ok().stdout;
    assert!(releases.contains("admin rebased v2 on the newest own"), "{releases}");
    admin.deis(&["rollback", "-a", "one"]).ok();
    platform.wait_for_answer("one", "first");

    let dry = platform.workflow(&[&all[..], &["--dry-run"]].concat()).ok();
    assert!(dry.stderr.contains("3 of 3 apps stand on own; nothing was changed"), "{}", dry.stderr);
    let whole = platform.workflow(&[&all[..], &["--parallel", "2", "--output", "json"]].concat()).ok();
    let results: Vec<serde_json::Value> = serde_json::from_str(&whole.stdout).expect("a list");
    assert!(results.len() == 3 && results.iter().all(|it| it["outcome"] == "rebased"), "{results:?}");
    for app in ["one", "two", "three"] {
        platform.wait_for_answer(app, "second");
    }

    // The first app that does not start on it is the last one that is tried.
    stack.renew("rm /usr/bin/python3*");
    let failed = platform.workflow(&[&all[..], &["--parallel", "1"]].concat());
    let failed = failed.fails(1, "2 of 3 apps not looked at");
    assert!(failed.stderr.contains(": failed: "), "{}", failed.stderr);
    for app in ["one", "two", "three"] {
        platform.wait_for_answer(app, "second");
    }
    platform.workflow(&["rebase", "--stack", "buster"]).fails(1, "there is no stack `buster`");
}
