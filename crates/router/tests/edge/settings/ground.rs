//! A router with an app that shows what it gets, and ways to look.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::annotations::{AnnotationReader, Annotations};
use domain::edge::{AppRules, app_rules, router_rules};
use domain::routing::{Backend, Route};
use rustls::SupportedProtocolVersion;

use crate::app::{App, Received};
use crate::secure::{connect_with, pair, trusting};
use crate::visitor::{Answer, Visitor, tcp};
use crate::world::{World, route};

/// Delay of a late response, if nobody hangs up before.
const LATE: Duration = Duration::from_millis(500);

pub struct Ground {
    pub world: World,
    app: App,
    /// The app was spoken to in HTTP/2.
    was_http2: Arc<AtomicBool>,
    /// Address that never accepts a connection.
    hole: Hole,
}

impl Ground {
    pub fn new() -> Self {
        let world = World::start_with(|settings| {
            settings.connect_timeout = Duration::from_secs(30);
            settings.hold_timeout = Duration::from_millis(200);
        });
        let was_http2 = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&was_http2);
        let app = App::start("echo", move |request| answer(request, &seen));
        let ground = Self { world, app, was_http2, hole: Hole::new() };
        ground.serve(&AppRules::default());
        ground
    }

    /// Sets the settings of all routers, as texts.
    pub fn tell_router(&self, texts: &[(&str, &str)]) {
        let (rules, wrong) = router_rules(&annotations("", texts), "");
        assert_eq!(wrong, Vec::<String>::new());
        self.world.tell(|told| *told = rules);
    }

    /// Sets the settings of each app's Service, as texts.
    pub fn tell_app(&self, texts: &[(&str, &str)]) {
        let annotations = annotations("router.deis.io/", texts);
        let mut reader = AnnotationReader::new(&annotations, "router.deis.io/");
        let rules = app_rules(&mut reader);
        assert_eq!(reader.into_wrong(), Vec::<String>::new());
        self.serve(&rules);
    }

    fn serve(&self, rules: &AppRules) {
        let with_rules = |route: Route| Route { rules: rules.clone(), ..route };
        let mut listed = route("listed", &[&self.app]);
        listed.edge.whitelist = vec!["192.0.2.1".to_owned()];
        let mut hole = route("hole", &[]);
        hole.backends = vec![Backend { key: "hole".to_owned(), address: self.hole.address(), release: 1 }];
        let mut told = route("told", &[&self.app]);
        told.rules.access_log = Some(true);
        let routes = [route("echo", &[&self.app]), listed, hole];
        self.world.serve(routes.map(with_rules).into_iter().chain([told]).collect());
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: echo.test\r\n\r\n"))
    }

    pub fn ask(&self, request: &str) -> Answer {
        let mut visitor = Visitor::connect(&self.world);
        visitor.send(request);
        visitor.answer()
    }

    /// Statuses of requests one after the other.
    pub fn statuses(&self, count: usize) -> Vec<u16> {
        (0..count).map(|_| self.get("/").status).collect()
    }

    /// Returns true if a request appears in its app's log.
    pub fn is_told(&self) -> bool {
        let mut visitor = Visitor::connect(&self.world);
        let mut ask = |host: &str| {
            visitor.send(&format!("GET / HTTP/1.1\r\nHost: {host}.test\r\n\r\n"));
            visitor.answer()
        };
        ask("echo");
        // Lines of one connection are handed over in turn: with the second of these, all of the first's batch is there.
        for lines in 1..=2 {
            ask("told");
            self.world.log("told", lines);
        }
        !self.world.log("echo", 0).is_empty()
    }

    /// Status of a request while another is under way.
    pub fn status_beside_another(&self) -> u16 {
        let mut other = Visitor::connect(&self.world);
        other.send("GET /held HTTP/1.1\r\nHost: echo.test\r\n\r\n");
        self.world.wait_for_metric("under_way{app=\"echo\"} 1");
        self.get("/").status
    }

    /// Head of the answer with a text to a visitor who takes these codings, and the first bytes of its body.
    pub fn compressed(&self, accept: &str) -> (String, Vec<u8>) {
        let mut visitor = Visitor::connect(&self.world);
        visitor.send(&format!("GET /text HTTP/1.1\r\nHost: echo.test\r\nAccept-Encoding: {accept}\r\n\r\n"));
        let head = visitor.head();
        if crate::app::header(&head, "transfer-encoding").is_some() {
            // The size of the first chunk.
            visitor.line();
        }
        (head, visitor.bytes(10))
    }

    /// Over HTTPS.
    pub fn secure(&self) -> Answer {
        let mut visitor = self.handshake(rustls::ALL_VERSIONS, &[]).expect("TLS works");
        visitor.send("GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n");
        visitor.answer()
    }

    pub fn handshake(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> std::io::Result<Visitor> {
        let platform = pair(&["echo.test"]);
        self.world.set_platform_certificate(platform.clone());
        connect_with(self.world.https_address, "echo.test", &trusting(&platform, versions, alpn))
    }

    /// Returns true if the router gives up in time on a replica that accepts no connection.
    pub fn leaves_the_hole(&self) -> bool {
        let mut stream = tcp(self.world.address);
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: hole.test\r\n\r\n").expect("the router takes it");
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).is_ok() && begin.ends_with(b"503")
    }

    /// Returns true if the app answers a request whose body has not come.
    pub fn is_answered_early(&self) -> bool {
        let begun = "POST /early HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 4\r\n\r\nab";
        self.ask(begun).status == 200
    }

    pub fn was_http2(&self) -> bool {
        self.was_http2.load(Ordering::SeqCst)
    }
}

fn annotations(prefix: &str, texts: &[(&str, &str)]) -> Annotations {
    texts.iter().map(|(key, text)| (format!("{prefix}{key}"), (*text).to_owned())).collect()
}

/// Shows the head that came; `/text` gives a text, `/late` takes its time, `/held` waits for the end.
fn answer(request: &mut Received, was_http2: &AtomicBool) -> bool {
    if request.head.starts_with("PRI ") {
        was_http2.store(true, Ordering::SeqCst);
        return false;
    }
    if request.head.contains(" /held ") {
        // Ends when the router hangs up.
        let _ = request.stream.read(&mut [0]);
        return false;
    }
    if request.head.contains(" /late ") {
        request.stream.get_ref().set_read_timeout(Some(LATE)).expect("a timeout");
        if request.stream.read(&mut [0]).is_ok() {
            return false;
        }
        request.stream.get_ref().set_read_timeout(None).expect("no timeout");
    }
    if request.head.contains(" /early ") {
        request.answer("early");
        return false;
    }
    request.body();
    if request.head.contains(" /text ") {
        let body = "All work and no play makes Jack a dull boy. ".repeat(100);
        let length = body.len();
        request.send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
    } else {
        let head = request.head.clone();
        request.answer(&head);
    }
    true
}

/// A listener whose queue is full: the kernel answers to no further connection.
struct Hole {
    listener: socket2::Socket,
    queue: Vec<std::net::TcpStream>,
}

impl Hole {
    fn new() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let listener = listener.expect("a socket");
        let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).expect("a free port");
        listener.listen(0).expect("a queue for one");
        let mut hole = Self { listener, queue: Vec::new() };
        while let Ok(stream) =
            std::net::TcpStream::connect_timeout(&hole.address(), Duration::from_millis(50))
        {
            hole.queue.push(stream);
        }
        hole
    }

    fn address(&self) -> std::net::SocketAddr {
        self.listener.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound")
    }
}
