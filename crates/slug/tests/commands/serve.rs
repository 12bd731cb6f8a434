//! `slug static` over real connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::World;

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(world: &World) -> Self {
        Self::start_with(world, &[])
    }

    fn start_with(world: &World, words: &[&str]) -> Self {
        let mut command = world.slug("static");
        command.args(["--port", "0"]).args(words).arg(world.path("public")).stdout(Stdio::piped());
        let mut child = command.spawn().expect("slug starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let port = line.trim().rsplit(' ').next().and_then(|port| port.parse().ok()).expect("a port");
        Self { child, port }
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        Connection(BufReader::new(stream))
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        self.connect().ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    fn signal(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("signal");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Status, head in lower case, body.
    fn ask(&mut self, request: &str) -> (u16, String, String) {
        self.0.get_mut().write_all(request.as_bytes()).expect("sent");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).expect("a line"), 0, "connection closed after {head:?}");
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a length"));
        let mut body = vec![0; if request.starts_with("HEAD") { 0 } else { length }];
        self.0.read_exact(&mut body).expect("a body");
        (status, head, String::from_utf8(body).expect("UTF-8"))
    }

    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}

fn site() -> World {
    let world = World::new();
    world.file("public/index.html", "<h1>home</h1>");
    world.file("public/docs/index.html", "docs");
    world.file("public/a b.css", "css");
    world.file("public/.git/config", "secret");
    world
}

#[test]
fn files_are_served_with_their_types_over_one_connection() {
    let world = site();
    let server = Server::start(&world);
    let mut connection = server.connect();

    let home = connection.ask("GET /?x=1 HTTP/1.1\r\n\r\n");
    let css = connection.ask("GET /a%20b.css HTTP/1.1\r\n\r\n");
    let head = connection.ask("HEAD /docs/ HTTP/1.1\r\n\r\n");

    assert_eq!((home.0, home.2.as_str()), (200, "<h1>home</h1>"));
    assert!(home.1.contains("content-type: text/html"));
    assert!(css.1.contains("content-type: text/css") && css.2 == "css");
    assert!(head.1.contains("content-length: 4"));
}

#[test]
fn what_is_not_there_or_not_allowed_gets_its_status() {
    let world = site();
    let server = Server::start(&world);

    assert_eq!(server.get("/none").0, 404);
    assert_eq!(server.get("/.git/config").0, 404);
    assert_eq!(server.get("/../secret").0, 400);
    let moved = server.get("/docs");
    assert_eq!(moved.0, 301);
    assert!(moved.1.contains("location: /docs/"));
    let posted = server.connect().ask("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx");
    assert!(posted.0 == 405 && posted.1.contains("connection: close"), "{posted:?}");

    world.file("public/404.html", "lost");
    assert_eq!(server.get("/none").2, "lost");
}

#[test]
fn a_known_file_is_not_sent_again() {
    let world = site();
    let server = Server::start(&world);
    let first = server.get("/");
    let tag = first.1.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();

    let again = server.connect().ask(&format!("GET / HTTP/1.1\r\nIf-None-Match: {tag}\r\n\r\n"));

    assert_eq!(again.0, 304);
}

#[test]
fn the_way_to_a_folder_keeps_its_query() {
    let world = site();
    let server = Server::start(&world);

    let moved = server.get("/docs?a=1&b=2");

    assert!(moved.0 == 301 && moved.1.contains("location: /docs/?a=1&b=2\r\n"), "{moved:?}");
}

#[test]
fn a_part_of_a_file_is_sent_alone() {
    let world = site();
    world.file("public/movie.txt", "0123456789");
    let server = Server::start(&world);
    let mut connection = server.connect();
    let mut ask = |fields: &str| connection.ask(&format!("GET /movie.txt HTTP/1.1\r\n{fields}\r\n"));

    let whole = ask("");
    let tag = whole.1.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag").to_owned();
    let part = ask("Range: bytes=2-4\r\n");
    let current = ask(&format!("Range: bytes=-2\r\nIf-Range: {tag}\r\n"));
    let outdated = ask("Range: bytes=-2\r\nIf-Range: \"old\"\r\n");
    let out_of_reach = ask("Range: bytes=10-\r\n");

    assert!(whole.0 == 200 && whole.1.contains("accept-ranges: bytes"), "{whole:?}");
    assert_eq!((part.0, part.2.as_str()), (206, "234"));
    assert!(part.1.contains("content-range: bytes 2-4/10\r\n") && part.1.contains(&tag), "{part:?}");
    assert_eq!((current.0, current.2.as_str()), (206, "89"));
    assert_eq!((outdated.0, outdated.2.as_str()), (200, "0123456789"));
    assert!(
        out_of_reach.0 == 416 && out_of_reach.1.contains("content-range: bytes */10\r\n"),
        "{out_of_reach:?}"
    );
}

#[test]
fn an_app_of_one_page_answers_its_own_paths_and_not_for_missing_files() {
    let world = site();
    let server = Server::start_with(&world, &["--fallback", "index.html"]);

    assert_eq!((server.get("/users/7").0, server.get("/users/7").2.as_str()), (200, "<h1>home</h1>"));
    assert_eq!(server.get("/logo.png").0, 404);
    assert_eq!(server.get("/docs/").2, "docs");
}

#[test]
fn term_closes_idle_connections_and_ends_the_server() {
    let world = site();
    let mut server = Server::start(&world);
    let mut idle = server.connect();
    idle.ask("GET / HTTP/1.1\r\n\r\n");

    server.signal();

    assert!(idle.is_closed());
    assert!(server.child.wait().expect("status").success());
}

#[test]
fn the_rules_of_static_json_are_obeyed() {
    let world = site();
    world.file("public/about.html", "about");
    world.file("public/errors/lost.html", "lost");
    world.file("public/app/index.html", "app");
    world.file(
        "static.json",
        r#"{"clean_urls": true, "https_only": true, "error_page": "errors/lost.html",
            "routes": {"/app/**": "app/index.html"},
            "redirects": {"/old": {"url": "/about", "status": 302}},
            "headers": {"/**": {"Cache-Control": "no-cache"}, "/a*": {"Content-Type": "text/x-own"}}}"#,
    );
    let config = world.path("static.json").display().to_string();
    let server = Server::start_with(&world, &["--config", &config]);
    let by = |scheme: &str, path: &str| {
        let head = format!("Host: site.example\r\nX-Forwarded-Proto: {scheme}\r\n");
        server.connect().ask(&format!("GET {path} HTTP/1.1\r\n{head}\r\n"))
    };

    let about = by("https", "/about");
    assert_eq!((about.0, about.2.as_str()), (200, "about"));
    assert!(
        about.1.contains("cache-control: no-cache") && about.1.contains("content-type: text/x-own"),
        "{about:?}"
    );
    let plain = by("http", "/about?a=1");
    assert!(plain.0 == 301 && plain.1.contains("location: https://site.example/about?a=1\r\n"), "{plain:?}");
    assert_eq!(server.get("/about").0, 200);
    let old = by("https", "/old/?b=2");
    assert!(old.0 == 302 && old.1.contains("location: /about?b=2\r\n"), "{old:?}");
    assert_eq!(server.get("/app/users/7").2, "app");
    assert_eq!((server.get("/none").0, server.get("/none").2.as_str()), (404, "lost"));
}

#[test]
fn lines_of_redirects_are_obeyed_where_there_is_no_file() {
    let world = site();
    world.file("public/app.html", "app");
    world.file(
        "public/_redirects",
        "/docs/ /elsewhere\n/blog/:year/* /news/:year-:splat 308\n/index.html /new 302!\n/* /app.html 200\n",
    );
    let server = Server::start(&world);

    assert_eq!(server.get("/docs/").2, "docs");
    let moved = server.get("/blog/2024/a%20b?c");
    assert!(moved.0 == 308 && moved.1.contains("location: /news/2024-a%20b?c\r\n"), "{moved:?}");
    assert!(server.get("/index.html").1.contains("location: /new\r\n"));
    assert_eq!((server.get("/any/path").0, server.get("/any/path").2.as_str()), (200, "app"));
    assert_eq!(server.get("/_redirects").2, "app");
}

#[test]
fn rules_are_checked_without_serving() {
    let world = site();
    let check = |config: Option<&str>| {
        let mut command = world.slug("static");
        command.arg("--check").arg(world.path("public"));
        if let Some(config) = config {
            world.file("static.json", config);
            command.arg("--config").arg(world.path("static.json"));
        }
        let output = command.output().expect("slug starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };

    assert_eq!(check(None), (Some(0), String::new()));
    let refused = check(Some(r#"{"proxies": {}}"#));
    assert!(
        refused.0 == Some(65) && refused.1.contains("Proxies and passwords are not served"),
        "{refused:?}"
    );
    world.file("public/_redirects", "/a\n");
    let refused = check(None);
    assert!(refused.0 == Some(65) && refused.1.contains("_redirects line 1: "), "{refused:?}");
}
