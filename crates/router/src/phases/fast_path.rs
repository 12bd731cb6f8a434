//! All phases of an ordinary request on the fast path, where hyper has no part.

mod relay;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;

use domain::edge::{Protocol, SiteRules};
use domain::routing::Backend;
use http::{Method, Request, StatusCode, Version, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use self::relay::{CutBy, Relay};
use super::caller::RequestOrigin;
use super::forward::{self, ANSWER_HEAD_BYTES_MAX, AttemptError, UpstreamResponse};
use super::{AdmitResult, AdmittedRequest, Refusal, answer, limits, log};
use crate::access_log::app_log::LogEntry;
use crate::body::compress::Encoder;
use crate::http1::REQUEST_BYTES_MAX;
use crate::http1::buffered_stream::{BufferedStream, DeadlineTimer, WaitError, after};
use crate::http1::headers;
use crate::http1::request::OrdinaryRequest;
use crate::http1::response::{self, BodyEnd, Head};
use crate::http1::response_error::ResponseError;
use crate::http1::write::{self, BodyFraming};
use crate::limits::pace::Pace;
use crate::phases::caller::ClientConnection;
use crate::state::WorkerState;
use crate::table::SiteRef;
use crate::table::site::Site;
use crate::upstream::Upstream;

/// Outcome of a request, and so of its connection.
pub(crate) enum RequestOutcome {
    /// The next one may come.
    KeepAlive,
    /// It was answered, and nothing more is to follow.
    Close,
    /// The client must see that data is missing, or is gone.
    Abort,
    /// Nothing happened yet: the slow path has what this request needs.
    SlowPath,
}

/// Serves one request at the front of the unread bytes of `visitor`.
pub(crate) async fn serve<S>(
    shared: &Rc<WorkerState>,
    client: ClientConnection,
    visitor: &mut BufferedStream<S>,
    timer: &mut DeadlineTimer,
    ordinary: OrdinaryRequest,
    shutdown: &watch::Receiver<bool>,
) -> RequestOutcome
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let OrdinaryRequest { mut request, head_bytes, body_bytes, is_last } = ordinary;
    let (admitted, verdict) = super::admit(shared, client, &mut request);
    if needs_slow_path(&verdict, &request) {
        return RequestOutcome::SlowPath;
    }
    let (method, version) = (request.method().clone(), request.version());
    shared.metrics.on_fast_path.add(1);
    let found = verdict.as_ref().map_or_else(|(found, _)| found.as_ref(), Some);
    let access = found
        .and_then(|(site, host)| admitted.context.access(shared, site, host, &admitted.caller, &request));
    let mut exchange =
        Exchange { shared, shutdown, client_stream: visitor, timer, method, version, is_last, access };
    let (site, host) = match verdict {
        Ok(found) => found,
        Err((found, refusal)) => {
            exchange.client_stream.consume(head_bytes + body_bytes);
            return exchange.refuse(admitted, found.map(|(site, _)| site), refusal).await;
        }
    };
    let permit = match limits::admit(shared, &site, &admitted.caller) {
        Ok(permit) => permit,
        Err(refusal) => {
            exchange.client_stream.consume(head_bytes + body_bytes);
            return exchange.refuse(admitted, Some(site), refusal).await;
        }
    };
    let wanted = forward::wanted_replica(&site, &request);
    let mark = wanted.as_ref().and_then(|wanted| wanted.as_deref());
    let sizes = (head_bytes, body_bytes);
    match exchange.ask(&admitted.caller, site.clone(), &host, mark, request, sizes).await {
        Ok(response) => exchange.answer(admitted, site, &host, wanted, response.keeping(permit)).await,
        Err(NoResponse::Refused(refusal)) => exchange.refuse(admitted, Some(site), refusal).await,
        Err(NoResponse::VisitorLeft) => {
            admitted.entry.end(shared, Some(&site), log::visitor_left());
            RequestOutcome::Abort
        }
    }
}

/// Malformed requests are rare.
fn needs_slow_path(verdict: &AdmitResult, request: &Request<()>) -> bool {
    match verdict {
        Ok((site, _)) => {
            !is_known(site) || site.destination(request.uri().path()).protocol != Protocol::Http1
        }
        Err((found, refusal)) => refusal.is_last || found.as_ref().is_some_and(|(site, _)| !is_known(site)),
    }
}

/// Returns true if the fast path implements all of these rules. A new rule must be decided here.
fn is_known(site: &Site) -> bool {
    let SiteRules {
        // Checked by the phases that both paths share.
        whitelist: _,
        https_enforced: _,
        hsts: _,
        connect_timeout: _,
        timeout: _,
        body_bytes_max: _,
        sticky: _,
        referrer_policy: _,
        request_start: _,
        // Bodies on this path have arrived whole.
        request_buffering: _,
        limits: _,
        gzip: _,
        zstd: _,
        access_log: _,
        // Asked of each request, for it depends on where its path goes.
        protocol: _,
        // Only the slow path knows this.
        proxy_header,
    } = &site.rules;
    proxy_header.is_none()
}

/// Returns true if the app's length is passed on to the client.
fn has_length(ends: BodyEnd, method: &Method) -> bool {
    match ends {
        BodyEnd::After(_) => true,
        BodyEnd::AtOnce => method == Method::HEAD,
        BodyEnd::ByChunks | BodyEnd::WithConnection => false,
    }
}

/// One exchange: a request, on its client connection.
struct Exchange<'a, S> {
    shared: &'a Rc<WorkerState>,
    shutdown: &'a watch::Receiver<bool>,
    client_stream: &'a mut BufferedStream<S>,
    timer: &'a mut DeadlineTimer,
    method: Method,
    version: Version,
    /// The client wants no further response.
    is_last: bool,
    /// Line of the request in the app's log, written when it is dropped, if the app asked for that.
    access: Option<Box<LogEntry>>,
}

type ResponseParts = (Head, BufferedStream<Upstream>);

/// Reason why there is no response to pass on.
enum NoResponse {
    Refused(Refusal),
    /// Nobody waits for the answer any more.
    VisitorLeft,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, S> {
    /// Sends the request to a replica and returns the head of its response, with the connection that has the rest.
    /// Ends when the client leaves, and with it the connection to the app.
    async fn ask(
        &mut self,
        caller: &RequestOrigin,
        site: SiteRef,
        host: &str,
        mark: Option<&str>,
        mut request: Request<()>,
        (head_bytes, body_bytes): (usize, usize),
    ) -> Result<UpstreamResponse<ResponseParts>, NoResponse> {
        let Self { shared, client_stream: visitor, timer, method, .. } = self;
        forward::prepare_head(&site, caller, &mut request);
        let mut whole = shared.buffers.head();
        write::request(&request, &mut whole);
        // The client's buffer is no longer needed, except for requests behind this one.
        whole.extend(&visitor.unread()[head_bytes..head_bytes + body_bytes]);
        visitor.consume(head_bytes + body_bytes);
        site.metrics(&shared.metrics).bytes_in.add(body_bytes as u64);
        let source = SocketAddr::new(caller.address, caller.address_port);
        let outgoing = OutgoingRequest { shared, source, whole: &whole, has_body: body_bytes > 0, method };
        let attempt = async |site: &Site, backend: &Backend, _: &mut _, ()| {
            outgoing.attempt(site, backend, timer).await
        };
        let exchanged = tokio::select! {
            biased;
            exchanged = forward::send(shared, site, host, request.uri(), mark, (), attempt) => {
                exchanged.map_err(NoResponse::Refused)
            }
            () = poll_fn(|cx| visitor.poll_hangup(cx, REQUEST_BYTES_MAX)) => Err(NoResponse::VisitorLeft),
        };
        shared.buffers.give_back(std::mem::take(request.headers_mut()));
        shared.buffers.give_back_head(whole);
        exchanged
    }

    async fn answer(
        &mut self,
        admitted: AdmittedRequest,
        site: SiteRef,
        host: &str,
        wanted: Option<Option<String>>,
        exchange: UpstreamResponse<ResponseParts>,
    ) -> RequestOutcome {
        let UpstreamResponse { answer: (Head { mut response, ends, stays_open }, mut app), guard } = exchange;
        let status = response.status();
        let checked = match status {
            StatusCode::SWITCHING_PROTOCOLS => Err(ResponseError::Switched),
            _ => headers::check_answer(response.headers_mut(), status),
        };
        if let Err(error) = checked {
            guard.under_way().lost();
            return self.refuse(admitted, Some(site), error.into()).await;
        }
        let AdmittedRequest { table, caller, entry, context } = admitted;
        forward::pass_on(response.headers_mut(), wanted, guard.backend_key(), &caller);
        if !has_length(ends, &self.method) {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let is_streamed = !matches!(ends, BodyEnd::AtOnce | BodyEnd::After(0));
        let coding = context.add_to(&table.rules, Some(&site), &caller, &mut response, is_streamed);
        // Without memory for it, it goes as it is.
        let encoder = coding.and_then(|coding| Some((coding, Encoder::new(coding).ok()?)));
        encoder.iter().for_each(|(coding, _)| answer::describe_compressed(response.headers_mut(), *coding));
        let framing =
            if encoder.is_some() { BodyFraming::Chunks } else { write::framing(ends, self.version) };
        let is_last = self.is_last_now() || framing == BodyFraming::Close;
        entry.end(self.shared, Some(&site), response.status());
        if let Some(access) = &mut self.access {
            access.answered(response.status(), Some(guard.under_way().release()), None);
            access.begins_body();
        }

        let mut head = self.shared.buffers.head();
        write::response(&response, self.version, framing, is_last, &mut head);
        self.shared.buffers.give_back(std::mem::take(response.headers_mut()));
        let (bytes, silence_max) = (&guard.metrics().bytes_out, site.rules.timeout);
        let (visitor, timer) = (&mut *self.client_stream, &mut *self.timer);
        let settings = &self.shared.settings;
        let (stall_max, pace) = (silence_max.min(settings.send_timeout), Pace::new(settings.send_rate));
        let entry = self.access.as_deref_mut();
        let mut relay =
            Relay { client: visitor, app: &mut app, timer, silence_max, stall_max, pace, bytes, entry };
        let carried = match encoder {
            Some((_, encoder)) => relay.compress(&mut head, ends, encoder).await,
            None => relay.carry(&mut head, ends, framing).await,
        };
        self.shared.buffers.give_back_head(head);
        if let Err(cut) = carried {
            if matches!(cut, CutBy::App | CutBy::Router) {
                guard.under_way().lost();
            }
            return RequestOutcome::Abort;
        }
        let still_serves = || self.shared.still_serves(table.version, host, guard.backend_key());
        if stays_open && app.is_at_rest() && still_serves() {
            self.shared.upstreams.fast.put(guard.backend_key(), app);
        }
        if is_last { RequestOutcome::Close } else { RequestOutcome::KeepAlive }
    }

    async fn refuse(
        &mut self,
        admitted: AdmittedRequest,
        site: Option<SiteRef>,
        refusal: Refusal,
    ) -> RequestOutcome {
        let is_last = self.is_last_now() || refusal.is_last;
        let (mut response, text) = refusal.into_parts();
        let site = site.as_deref();
        admitted.context.add_to(&admitted.table.rules, site, &admitted.caller, &mut response, false);
        admitted.entry.end(self.shared, site, response.status());
        response.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
        let body = if self.method == Method::HEAD { "" } else { text.as_str() };
        if let Some(access) = &mut self.access {
            access.answered(response.status(), None, response.extensions().get::<ResponseError>().copied());
            access.sent(body.len() as u64);
        }
        let mut head = self.shared.buffers.head();
        write::response(&response, self.version, BodyFraming::Declared, is_last, &mut head);
        let until = after(self.shared.settings.head_timeout);
        match self.client_stream.write(self.timer, until, &head, body.as_bytes()).await {
            Err(_) => RequestOutcome::Abort,
            Ok(()) if is_last => RequestOutcome::Close,
            Ok(()) => RequestOutcome::KeepAlive,
        }
    }

    /// A router that stops takes no further request on any connection.
    fn is_last_now(&self) -> bool {
        self.is_last || *self.shutdown.borrow()
    }
}

/// A request as it is sent to the app.
struct OutgoingRequest<'a> {
    shared: &'a Rc<WorkerState>,
    source: SocketAddr,
    /// Its head, and its body behind it.
    whole: &'a [u8],
    has_body: bool,
    method: &'a Method,
}

impl OutgoingRequest<'_> {
    async fn attempt(
        &self,
        site: &Site,
        backend: &Backend,
        timer: &mut DeadlineTimer,
    ) -> Result<(Head, BufferedStream<Upstream>), AttemptError<()>> {
        let pooled = self.shared.upstreams.fast.take(&backend.key);
        let is_reused = pooled.is_some();
        let mut app = match pooled {
            Some(app) => app,
            None => match self.shared.upstreams.open(site, backend, self.source).await {
                Ok(stream) => BufferedStream::new(stream, &self.shared.buffers),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, ?backend, "cannot connect");
                    return Err(AttemptError::Unsent(()));
                }
            },
        };
        let may_repeat = is_reused && forward::is_safe_method(self.method) && !self.has_body;
        let until = after(site.rules.timeout);
        match self.ask(&mut app, timer, until).await {
            Ok(head) => Ok((head, app)),
            Err(ExchangeError::Unsent) => Err(AttemptError::Unsent(())),
            Err(ExchangeError::Unanswered(ResponseError::Closed)) if may_repeat => {
                Err(AttemptError::Unsent(()))
            }
            Err(ExchangeError::Unanswered(error)) => {
                tracing::debug!(%error, ?backend, "request lost");
                Err(AttemptError::Lost(error.into()))
            }
        }
    }

    async fn ask(
        &self,
        app: &mut BufferedStream<Upstream>,
        timer: &mut DeadlineTimer,
        until: Instant,
    ) -> Result<Head, ExchangeError> {
        match app.write(timer, until, self.whole, &[]).await {
            Ok(()) => {}
            Err((_, WaitError::Timeout)) => return Err(ExchangeError::Unanswered(ResponseError::Late)),
            Err((0, WaitError::Closed)) => return Err(ExchangeError::Unsent),
            // It may have answered before it hung up.
            Err((_, WaitError::Closed)) => {}
        }
        loop {
            match response::read(app.unread(), self.method, &self.shared.buffers) {
                Ok(Some((head, length))) => {
                    app.consume(length);
                    return Ok(head);
                }
                Ok(None) if app.unread().len() >= ANSWER_HEAD_BYTES_MAX => {
                    return Err(ExchangeError::Unanswered(ResponseError::HeadTooLarge));
                }
                Ok(None) => {}
                Err(error) => return Err(ExchangeError::Unanswered(error)),
            }
            match app.fill(timer, until, ANSWER_HEAD_BYTES_MAX).await {
                Ok(()) => {}
                Err(WaitError::Timeout) => return Err(ExchangeError::Unanswered(ResponseError::Late)),
                Err(WaitError::Closed) => return Err(ExchangeError::Unanswered(ResponseError::Closed)),
            }
        }
    }
}

/// Reason why there is no response.
enum ExchangeError {
    /// Nothing of the request went out.
    Unsent,
    Unanswered(ResponseError),
}
