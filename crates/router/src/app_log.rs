//! Access lines: what came of each request, in the log of an app that asked for it, in the form of Heroku's router.
//!
//! A worker gathers lines in a buffer for each app, without a lock and in steady state without an allocation; twice
//! a second the buffers go to the thread of `teller`. Lines beyond the bound are counted and said. The query of a
//! path stays out: it may hold secrets.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use domain::AppName;
use domain::routing::{Route, RouteOwner};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::body::{BodyError, ProxyBody};
use crate::site::Site;

/// Longest part of a path that is told.
const PATH_BYTES_MAX: usize = 1_024;
/// Longest method that is told whole; those of the standards have at most 17 letters.
const METHOD_BYTES_MAX: usize = 32;
/// What is told of a visitor who left before the answer was there, as nginx and Heroku do.
const LEFT_EARLY: u16 = 499;

/// The lines of one worker that nobody has fetched yet.
pub(crate) struct AppLog {
    pending: RefCell<Pending>,
    teller: SyncSender<Batch>,
    /// Lines between two fetches, of all apps; one app has half of them at most.
    lines_max: usize,
}

/// Lines by app, on their way to the teller.
pub(crate) type Batch = HashMap<AppName, AppLines>;

#[derive(Default)]
struct Pending {
    apps: Batch,
    lines: usize,
}

/// Lines of one app, one behind the other.
#[derive(Default)]
pub(crate) struct AppLines {
    text: String,
    /// Where each line ends, and when it was written.
    ends: Vec<(usize, SystemTime)>,
    pub(crate) dropped: u64,
}

impl AppLog {
    pub(crate) fn new(teller: SyncSender<Batch>, lines_max: usize) -> Self {
        Self { pending: RefCell::default(), teller, lines_max }
    }

    fn add(&self, app: &AppName, write: impl FnOnce(&mut String)) {
        let mut pending = self.pending.borrow_mut();
        let Pending { apps, lines } = &mut *pending;
        if !apps.contains_key(app) {
            apps.insert(app.clone(), AppLines::default());
        }
        let of_app = apps.get_mut(app).expect("it is there or was just put there");
        if *lines >= self.lines_max || of_app.ends.len() >= self.lines_max / 2 {
            of_app.dropped += 1;
            return;
        }
        *lines += 1;
        write(&mut of_app.text);
        of_app.ends.push((of_app.text.len(), SystemTime::now()));
    }

    /// Gives away what was gathered; where the teller is behind, its lines count as dropped.
    pub(crate) fn hand_over(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.apps.is_empty() {
            return;
        }
        let Pending { apps, .. } = std::mem::take(&mut *pending);
        if let Err(error) = self.teller.try_send(apps) {
            let (std::sync::mpsc::TrySendError::Full(apps)
            | std::sync::mpsc::TrySendError::Disconnected(apps)) = error;
            let dropped = |lines: AppLines| lines.dropped + lines.ends.len() as u64;
            let only_counted = |lines| AppLines { dropped: dropped(lines), ..AppLines::default() };
            pending.apps = apps.into_iter().map(|(app, lines)| (app, only_counted(lines))).collect();
        }
    }
}

/// Requests that end with their worker are told too.
impl Drop for AppLog {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl AppLines {
    pub(crate) fn lines(&self) -> impl Iterator<Item = (SystemTime, &str)> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        begins.zip(&self.ends).map(|(begin, (end, time))| (*time, &self.text[begin..*end]))
    }
}

/// What of a request is told.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: Option<&'a PathAndQuery>,
    pub(crate) host: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) is_https: bool,
    pub(crate) id: Option<HeaderValue>,
}

/// A request that is told when its answer has ended, or it has.
pub(crate) struct Access {
    log: Rc<AppLog>,
    route: Arc<Route>,
    begun: Instant,
    method: Method,
    /// Shares the bytes of the request's head.
    path: Option<PathAndQuery>,
    host: Box<str>,
    client: IpAddr,
    is_https: bool,
    id: Option<HeaderValue>,
    release: Option<u64>,
    status: u16,
    bytes: u64,
    fault: Option<&'static str>,
}

impl Access {
    /// Begins to tell a request, where its app asked for that.
    pub(crate) fn begin(log: Option<&Rc<AppLog>>, site: &Site, asked: Asked<'_>) -> Option<Box<Self>> {
        let log = log.filter(|_| site.rules.access_log && matches!(site.route.owner, RouteOwner::App(_)))?;
        let Asked { method, path, host, client, is_https, id } = asked;
        Some(Box::new(Self {
            log: Rc::clone(log),
            route: Arc::clone(&site.route),
            begun: Instant::now(),
            method: method.clone(),
            path: path.cloned(),
            host: host.into(),
            client,
            is_https,
            id,
            release: None,
            status: LEFT_EARLY,
            bytes: 0,
            fault: Some("the visitor left before the answer"),
        }))
    }

    /// Notes the head of the answer. `release` is `None` where the router itself answered.
    pub(crate) fn answered(&mut self, status: StatusCode, release: Option<u64>) {
        self.status = status.as_u16();
        self.release = release;
        self.fault = match (release, status) {
            (None, StatusCode::BAD_GATEWAY) => Some("the app closed the connection without an answer"),
            (None, StatusCode::GATEWAY_TIMEOUT) => Some("the app did not answer in time"),
            _ => None,
        };
    }

    /// Notes more of the answer's body.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Notes that the answer's body broke off.
    pub(crate) fn broke_off(&mut self) {
        self.fault = Some("the answer broke off");
    }

    fn write(&self, line: &mut String) {
        self.write_words(line).expect("a String takes everything");
    }

    fn write_words(&self, line: &mut String) -> std::fmt::Result {
        match self.fault {
            None => line.push_str("at=info"),
            Some(fault) => write!(line, "at=error desc=\"{fault}\"")?,
        }
        let method = self.method.as_str();
        write!(line, " method={} path=\"", &method[..method.len().min(METHOD_BYTES_MAX)])?;
        push_escaped(line, self.path.as_ref().map_or("/", PathAndQuery::path));
        line.push_str("\" host=");
        push_escaped(line, &self.host);
        if let Some(id) = self.id.as_ref().and_then(|id| id.to_str().ok()) {
            write!(line, " request_id={id}")?;
        }
        write!(line, " fwd=\"{}\"", self.client)?;
        if let Some(release) = self.release.filter(|release| *release > 0) {
            write!(line, " release=v{release}")?;
        }
        let protocol = if self.is_https { "https" } else { "http" };
        let took_ms = self.begun.elapsed().as_millis();
        write!(line, " service={took_ms}ms status={} bytes={} protocol={protocol}", self.status, self.bytes)
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if let RouteOwner::App(app) = &self.route.owner {
            self.log.add(app, |line| self.write(line));
        }
    }
}

/// Adds a text of a visitor so that it stays within its quotes and its line.
fn push_escaped(line: &mut String, text: &str) {
    let end = text.floor_char_boundary(PATH_BYTES_MAX);
    for char in text[..end].chars() {
        match char {
            '"' | '\\' => line.extend(['\\', char]),
            // The last two end a line for some readers.
            _ if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') => {
                line.extend(char.escape_unicode());
            }
            _ => line.push(char),
        }
    }
    if end < text.len() {
        line.push('…');
    }
}

/// The body of an answer that is told.
pub(crate) struct Told {
    body: ProxyBody,
    access: Box<Access>,
}

impl Told {
    pub(crate) fn new(body: ProxyBody, access: Box<Access>) -> Self {
        Self { body, access }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.access.sent(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            Poll::Ready(Some(Err(_))) => self.access.broke_off(),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    pub(crate) fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use domain::edge::{AppRules, RouterRules};
    use domain::routing::Route;

    use super::*;

    fn site(app: &str) -> Site {
        let owner = RouteOwner::App(AppName::parse(app).expect("a good name"));
        let route = Route::plain(owner, format!("{app}.test"), Vec::new());
        let rules = AppRules { access_log: Some(true), ..AppRules::default() };
        Site::new(&RouterRules::default(), &Arc::new(Route { rules, ..route }), 1)
    }

    fn ask(log: &Rc<AppLog>, app: &str, path: &PathAndQuery) -> Box<Access> {
        let asked = Asked {
            method: &Method::GET,
            path: Some(path),
            host: "blog.test",
            client: IpAddr::from([192, 0, 2, 1]),
            is_https: true,
            id: None,
        };
        Access::begin(Some(log), &site(app), asked).expect("the app asked for it")
    }

    fn path(text: &'static str) -> PathAndQuery {
        PathAndQuery::from_static(text)
    }

    fn told(batch: &Batch, app: &str) -> Vec<String> {
        let lines = &batch[&AppName::parse(app).expect("a good name")];
        lines.lines().map(|(_, line)| line.to_owned()).collect()
    }

    #[test]
    fn a_line_has_the_words_of_herokus_router_and_no_query() {
        let (teller, heard) = mpsc::sync_channel(1);
        let log = Rc::new(AppLog::new(teller, 10));

        let mut access = ask(&log, "blog", &path("/a?token=secret"));
        access.begun = Instant::now();
        access.id = Some(HeaderValue::from_static("42"));
        access.answered(StatusCode::OK, Some(5));
        access.sent(12);
        drop(access);
        log.hand_over();

        let lines = told(&heard.recv().expect("a batch"), "blog");
        let [line] = &lines[..] else { panic!("one line: {lines:?}") };
        let (before, after) = line.split_once(" service=").expect("it took some time");
        assert_eq!(
            before,
            "at=info method=GET path=\"/a\" host=blog.test request_id=42 fwd=\"192.0.2.1\" release=v5"
        );
        assert!(after.ends_with("ms status=200 bytes=12 protocol=https"), "{after}");
    }

    #[test]
    fn no_path_breaks_out_of_its_quotes_or_its_line() {
        let mut line = String::new();

        push_escaped(&mut line, "/\" at=info\\\n\r\t\u{1b}[31m\u{85}\u{2028}é");

        assert_eq!(line, "/\\\" at=info\\\\\\u{a}\\u{d}\\u{9}\\u{1b}[31m\\u{85}\\u{2028}é");
        line.clear();
        push_escaped(&mut line, &"é".repeat(PATH_BYTES_MAX));
        assert_eq!(line, "é".repeat(PATH_BYTES_MAX / 2) + "…");
    }

    #[test]
    fn a_visitor_who_leaves_before_the_answer_is_told_as_499() {
        let (teller, heard) = mpsc::sync_channel(1);
        let log = Rc::new(AppLog::new(teller, 10));

        drop(ask(&log, "blog", &path("/")));
        log.hand_over();

        let lines = told(&heard.recv().expect("a batch"), "blog");
        assert!(lines[0].starts_with("at=error desc=\"the visitor left"), "{lines:?}");
        assert!(lines[0].contains(" status=499 "), "{lines:?}");
    }

    #[test]
    fn lines_beyond_the_bound_are_counted_and_one_app_leaves_room_for_others() {
        let (teller, heard) = mpsc::sync_channel(1);
        let log = Rc::new(AppLog::new(teller, 4));

        (0..5).for_each(|_| drop(ask(&log, "blog", &path("/"))));
        drop(ask(&log, "shop", &path("/")));
        log.hand_over();
        // The first batch was not fetched: this one finds no room.
        drop(ask(&log, "shop", &path("/")));
        log.hand_over();
        let first = heard.recv().expect("a batch");
        log.hand_over();
        let second = heard.recv().expect("what was dropped");

        let dropped = |batch: &Batch, app: &str| batch[&AppName::parse(app).expect("a good name")].dropped;
        assert_eq!((told(&first, "blog").len(), dropped(&first, "blog")), (2, 3));
        assert_eq!((told(&first, "shop").len(), dropped(&first, "shop")), (1, 0));
        assert_eq!((told(&second, "shop").len(), dropped(&second, "shop")), (0, 1));
    }

    #[test]
    fn an_app_that_did_not_ask_is_not_told() {
        let (teller, _heard) = mpsc::sync_channel(1);
        let log = Rc::new(AppLog::new(teller, 4));
        let owner = RouteOwner::App(AppName::parse("blog").expect("a good name"));
        let route = Route::plain(owner, "blog.test".to_owned(), Vec::new());
        let site = Site::new(&RouterRules::default(), &Arc::new(route), 1);
        let asked = Asked {
            method: &Method::GET,
            path: None,
            host: "blog.test",
            client: IpAddr::from([192, 0, 2, 1]),
            is_https: false,
            id: None,
        };

        assert!(Access::begin(Some(&log), &site, asked).is_none());
    }
}
