//! Access lines: what came of each request, in the log of an app that asked for it, in the form of Heroku's router.
//!
//! A worker gathers lines in a buffer for each app, without a lock and in steady state without an allocation; twice
//! a second the buffers go to the thread of `log_publisher`. Lines beyond the bound are counted and said. The query of a
//! path stays out: it may hold secrets.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Instant, SystemTime};

use domain::AppName;
use domain::routing::{Route, RouteOwner};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};

use crate::http1::response_error::ResponseError;
use crate::table::site::Site;

/// Longest part of a path that is logged.
const PATH_BYTES_MAX: usize = 1_024;
/// Longest method that is logged whole; those of the standards have at most 17 letters.
const METHOD_BYTES_MAX: usize = 32;
/// Status logged for a client that left before the end of the answer, as nginx and Heroku do.
pub(crate) const VISITOR_LEFT: u16 = 499;

/// The lines of one worker that nobody has fetched yet.
pub(crate) struct AppLog {
    pending: RefCell<UnsentLines>,
    sender: SyncSender<LogBatch>,
    /// Lines between two fetches, of all apps; one app has half of them at most.
    lines_max: usize,
}

/// Lines by app for the log publisher.
pub(crate) type LogBatch = HashMap<AppName, AppLogBuffer>;

#[derive(Default)]
struct UnsentLines {
    apps: LogBatch,
    lines: usize,
}

/// Lines of one app, one behind the other.
#[derive(Default)]
pub(crate) struct AppLogBuffer {
    text: String,
    /// End of each line, and its time.
    ends: Vec<(usize, SystemTime)>,
    pub(crate) dropped: u64,
}

impl AppLog {
    pub(crate) fn new(sender: SyncSender<LogBatch>, lines_max: usize) -> Self {
        Self { pending: RefCell::default(), sender, lines_max }
    }

    fn add(&self, app: &AppName, write: impl FnOnce(&mut String)) {
        let mut pending = self.pending.borrow_mut();
        let UnsentLines { apps, lines } = &mut *pending;
        if !apps.contains_key(app) {
            apps.insert(app.clone(), AppLogBuffer::default());
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

    /// Sends what was gathered to the publisher; where the publisher is behind, its lines count as dropped.
    pub(crate) fn hand_over(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.apps.is_empty() {
            return;
        }
        let UnsentLines { apps, .. } = std::mem::take(&mut *pending);
        if let Err(error) = self.sender.try_send(apps) {
            let (std::sync::mpsc::TrySendError::Full(apps)
            | std::sync::mpsc::TrySendError::Disconnected(apps)) = error;
            let dropped = |lines: AppLogBuffer| lines.dropped + lines.ends.len() as u64;
            let only_counted = |lines| AppLogBuffer { dropped: dropped(lines), ..AppLogBuffer::default() };
            pending.apps = apps.into_iter().map(|(app, lines)| (app, only_counted(lines))).collect();
        }
    }
}

/// Requests that end with their worker are logged, too.
impl Drop for AppLog {
    fn drop(&mut self) {
        self.hand_over();
    }
}

impl AppLogBuffer {
    pub(crate) fn lines(&self) -> impl Iterator<Item = (SystemTime, &str)> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        begins.zip(&self.ends).map(|(begin, (end, time))| (*time, &self.text[begin..*end]))
    }
}

/// The facts of a request that its log line states.
pub(crate) struct RequestFacts<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: Option<&'a PathAndQuery>,
    pub(crate) host: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) is_https: bool,
    pub(crate) id: Option<HeaderValue>,
}

/// The line of a request, written when its answer has ended or the request was dropped.
pub(crate) struct LogEntry {
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
    fault: Option<Cow<'static, str>>,
    /// The answer's body has begun and not ended.
    is_partial: bool,
}

impl LogEntry {
    /// Begins the entry of a request, where its app asked for that.
    pub(crate) fn begin(
        log: Option<&Rc<AppLog>>,
        site: &Site,
        request: RequestFacts<'_>,
    ) -> Option<Box<Self>> {
        let log = log.filter(|_| site.rules.access_log && matches!(site.route.owner, RouteOwner::App(_)))?;
        let RequestFacts { method, path, host, client, is_https, id } = request;
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
            status: VISITOR_LEFT,
            bytes: 0,
            fault: Some("the visitor left before the answer".into()),
            is_partial: false,
        }))
    }

    /// Notes the head of the answer. `release` is `None` where the router itself answered, in place of what the app
    /// did wrong, if anything.
    pub(crate) fn answered(
        &mut self,
        status: StatusCode,
        release: Option<u64>,
        error: Option<ResponseError>,
    ) {
        self.status = status.as_u16();
        self.release = release;
        self.fault = error.map(|error| Cow::Owned(error.to_string()));
    }

    /// Notes that a body follows. The client has left if the entry ends before `ended`, `broke_off` or `untaken`.
    pub(crate) fn begins_body(&mut self) {
        self.is_partial = true;
    }

    /// Notes that the answer's body is whole.
    pub(crate) fn ended(&mut self) {
        self.is_partial = false;
    }

    /// Notes more of the answer's body.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Notes that the answer's body broke off.
    pub(crate) fn broke_off(&mut self) {
        self.is_partial = false;
        self.fault = Some("the answer broke off".into());
    }

    /// Notes that the client is connected and does not take the answer.
    pub(crate) fn untaken(&mut self) {
        self.is_partial = false;
        self.fault = Some("the visitor did not take the answer".into());
    }

    fn write(&self, line: &mut String) {
        self.write_words(line).expect("a String takes everything");
    }

    fn write_words(&self, line: &mut String) -> std::fmt::Result {
        match &self.fault {
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

impl Drop for LogEntry {
    fn drop(&mut self) {
        if self.is_partial {
            self.status = VISITOR_LEFT;
            self.fault = Some("the visitor left before the end of the answer".into());
        }
        if let RouteOwner::App(app) = &self.route.owner {
            self.log.add(app, |line| self.write(line));
        }
    }
}

/// Adds a text of a client, escaped so that it stays within its quotes and its line.
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

    fn ask(log: &Rc<AppLog>, app: &str, path: &PathAndQuery) -> Box<LogEntry> {
        let request = RequestFacts {
            method: &Method::GET,
            path: Some(path),
            host: "blog.test",
            client: IpAddr::from([192, 0, 2, 1]),
            is_https: true,
            id: None,
        };
        LogEntry::begin(Some(log), &site(app), request).expect("the app asked for it")
    }

    fn path(text: &'static str) -> PathAndQuery {
        PathAndQuery::from_static(text)
    }

    fn logged(batch: &LogBatch, app: &str) -> Vec<String> {
        let lines = &batch[&AppName::parse(app).expect("a good name")];
        lines.lines().map(|(_, line)| line.to_owned()).collect()
    }

    #[test]
    fn a_line_has_the_words_of_herokus_router_and_no_query() {
        let (sender, received) = mpsc::sync_channel(1);
        let log = Rc::new(AppLog::new(sender, 10));

        let mut access = ask(&log, "blog", &path("/a?token=secret"));
        access.begun = Instant::now();
        access.id = Some(HeaderValue::from_static("42"));
        access.answered(StatusCode::OK, Some(5), None);
        access.sent(12);
        drop(access);
        log.hand_over();

        let lines = logged(&received.recv().expect("a batch"), "blog");
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
        let (sender, received) = mpsc::sync_channel(1);
        let log = Rc::new(AppLog::new(sender, 10));

        drop(ask(&log, "blog", &path("/")));
        log.hand_over();

        let lines = logged(&received.recv().expect("a batch"), "blog");
        assert!(lines[0].starts_with("at=error desc=\"the visitor left"), "{lines:?}");
        assert!(lines[0].contains(" status=499 "), "{lines:?}");
    }

    #[test]
    fn lines_beyond_the_bound_are_counted_and_one_app_leaves_room_for_others() {
        let (sender, received) = mpsc::sync_channel(1);
        let log = Rc::new(AppLog::new(sender, 4));

        (0..5).for_each(|_| drop(ask(&log, "blog", &path("/"))));
        drop(ask(&log, "shop", &path("/")));
        log.hand_over();
        // The first batch was not fetched: this one finds no room.
        drop(ask(&log, "shop", &path("/")));
        log.hand_over();
        let first = received.recv().expect("a batch");
        log.hand_over();
        let second = received.recv().expect("what was dropped");

        let dropped = |batch: &LogBatch, app: &str| batch[&AppName::parse(app).expect("a good name")].dropped;
        assert_eq!((logged(&first, "blog").len(), dropped(&first, "blog")), (2, 3));
        assert_eq!((logged(&first, "shop").len(), dropped(&first, "shop")), (1, 0));
        assert_eq!((logged(&second, "shop").len(), dropped(&second, "shop")), (0, 1));
    }

    #[test]
    fn an_app_that_did_not_ask_has_no_request_logged() {
        let (sender, _received) = mpsc::sync_channel(1);
        let log = Rc::new(AppLog::new(sender, 4));
        let owner = RouteOwner::App(AppName::parse("blog").expect("a good name"));
        let route = Route::plain(owner, "blog.test".to_owned(), Vec::new());
        let site = Site::new(&RouterRules::default(), &Arc::new(route), 1);
        let request = RequestFacts {
            method: &Method::GET,
            path: None,
            host: "blog.test",
            client: IpAddr::from([192, 0, 2, 1]),
            is_https: false,
            id: None,
        };

        assert!(LogEntry::begin(Some(&log), &site, request).is_none());
    }
}
