//! All phases of an ordinary request on the short way (`fast`), where hyper has no part.

use std::net::SocketAddr;
use std::rc::Rc;

use domain::edge::{Protocol, SiteRules};
use domain::routing::Backend;
use http::{HeaderMap, Method, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::forward::{self, Attempt, Exchange};
use super::{Admitted, Refusal, answer, headers, limits};
use crate::compress::Encoder;
use crate::connection::Visit;
use crate::fast::line::{Failure, Line, Patience, after};
use crate::fast::relay::{CutBy, Relay};
use crate::fast::request::Ordinary;
use crate::fast::response::{self, Ends, Head};
use crate::fast::write::{self, Framing};
use crate::site::Site;
use crate::table::Found;
use crate::upstream;
use crate::worker::Shared;

/// Longest head of an answer.
const ANSWER_HEAD_BYTES_MAX: usize = 256 << 10;

/// What became of a request, and so of its connection.
pub(crate) enum Ended {
    /// The next one may come.
    Well,
    /// It was answered, and nothing more is to follow.
    Last,
    /// The visitor must see that something is missing, or is gone.
    Cut,
    /// Nothing happened yet: the long way has what this request needs.
    ForLongWay,
}

/// Serves one request that lies at the front of what `visitor` has not read.
pub(crate) async fn serve<S>(
    shared: &Rc<Shared>,
    visit: Visit,
    visitor: &mut Line<S>,
    patience: &mut Patience,
    ordinary: Ordinary,
    shutdown: &watch::Receiver<bool>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ordinary { mut request, head_bytes, body_bytes, is_last } = ordinary;
    let (admitted, verdict) = super::admit(shared, visit, &mut request);
    let (site, host) = match verdict {
        Ok((site, host)) => (site, host),
        // What is refused for its form is rare, and so is what an app wants to have told.
        Err((found, refusal)) if refusal.is_last || found.as_ref().is_some_and(|it| !is_known(&it.0)) => {
            return Ended::ForLongWay;
        }
        Err((found, refusal)) => {
            visitor.consume(head_bytes + body_bytes);
            let site = found.map(|(site, _)| site);
            let out = Outcome { is_last, version: request.version(), shared, shutdown, site };
            return out.refuse(admitted, refusal, request.method(), visitor, patience).await;
        }
    };
    let protocol = site.destination(request.uri().path()).protocol;
    if !is_known(&site) || protocol != Protocol::Http1 {
        return Ended::ForLongWay;
    }
    let (method, version) = (request.method().clone(), request.version());
    let permit = match limits::admit(shared, &site, &admitted.caller) {
        Ok(permit) => permit,
        Err(refusal) => {
            visitor.consume(head_bytes + body_bytes);
            let out = Outcome { is_last, version, shared, shutdown, site: Some(site) };
            return out.refuse(admitted, refusal, &method, visitor, patience).await;
        }
    };
    let wanted = forward::wanted_replica(&site, &request);
    forward::prepare_head(&site, &admitted.caller, &mut request);
    let mut head = shared.buffers.head();
    write::request(&request, &mut head);
    site.metrics(&shared.metrics).bytes_in.add(body_bytes as u64);
    // Without a body, the visitor's buffer is of no more use.
    visitor.consume(head_bytes);
    let body = &visitor.unread()[..body_bytes];
    let source = SocketAddr::new(admitted.caller.address, admitted.caller.address_port);
    let asked = Asked { shared, source, head: &head, body, method: &method };
    let table_version = admitted.table.version;
    let mark = wanted.as_ref().and_then(|wanted| wanted.as_deref());
    let exchanged = forward::exchange(
        shared,
        site.clone(),
        &host,
        request.uri(),
        mark,
        (),
        async |site, backend, _, ()| asked.attempt(site, backend, patience).await,
    );
    let exchanged = exchanged.await;
    visitor.consume(body_bytes);
    shared.buffers.give_back(std::mem::take(request.headers_mut()));
    shared.buffers.give_back_head(head);

    let out = Outcome { is_last, version, shared, shutdown, site: Some(site.clone()) };
    let Exchange { answer: (head, mut app), guard } = match exchanged {
        Ok(exchange) => exchange.keeping(permit),
        Err(refusal) => return out.refuse(admitted, refusal, &method, visitor, patience).await,
    };
    let Head { mut response, ends, stays_open } = head;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let refusal = forward::switched_unasked();
        return out.refuse(admitted, refusal, &method, visitor, patience).await;
    }
    if !headers::has_known_coding(response.headers()) {
        return out.refuse(admitted, forward::oddly_coded(), &method, visitor, patience).await;
    }
    forward::pass_on(response.headers_mut(), wanted, guard.backend_key(), &admitted.caller);
    if !has_length(ends, &method) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let mut framing = write::framing(ends, version);
    let is_last = out.is_last_now() || framing == Framing::Close;
    let is_streamed = !matches!(ends, Ends::AtOnce | Ends::After(0));
    let rules = &admitted.table.rules;
    let coding = admitted.wishes.add_to(rules, Some(&site), &admitted.caller, &mut response, is_streamed);
    // Without memory for it, it goes as it is.
    let encoder = coding.and_then(|coding| Some((coding, Encoder::new(coding).ok()?)));
    let encoder = encoder.map(|(coding, encoder)| {
        answer::describe_compressed(response.headers_mut(), coding);
        framing = Framing::Chunks;
        encoder
    });
    admitted.entry.end(shared, Some(&site), response.status());

    let mut head = shared.buffers.head();
    write::response(&response, version, framing, is_last, &mut head);
    shared.buffers.give_back(std::mem::take(response.headers_mut()));
    let bytes = &guard.metrics().bytes_out;
    let silence_max = site.rules.timeout;
    let mut relay = Relay { visitor, app: &mut app, patience, silence_max, bytes };
    let carried = match encoder {
        Some(encoder) => relay.compress(&mut head, ends, encoder).await,
        None => relay.carry(&mut head, ends, framing).await,
    };
    shared.buffers.give_back_head(head);
    if let Err(cut) = carried {
        if cut != CutBy::Visitor {
            guard.under_way().lost();
        }
        return Ended::Cut;
    }
    if stays_open && app.is_at_rest() && shared.still_serves(table_version, &host, guard.backend_key()) {
        shared.lines.put(guard.backend_key(), app);
    }
    if is_last { Ended::Last } else { Ended::Well }
}

/// Whether the short way knows all that these rules ask for. Whoever adds a rule decides it here.
fn is_known(site: &Site) -> bool {
    let SiteRules {
        // Met by the phases that both ways share.
        whitelist: _,
        https_enforced: _,
        hsts: _,
        connect_timeout: _,
        timeout: _,
        body_bytes_max: _,
        sticky: _,
        referrer_policy: _,
        request_start: _,
        limits: _,
        gzip: _,
        zstd: _,
        // Asked of each request, for it depends on where its path goes.
        protocol: _,
        // Only the long way knows these.
        proxy_header,
        access_log,
    } = &site.rules;
    proxy_header.is_none() && !access_log
}

/// Whether the visitor is told a length that the app has told.
fn has_length(ends: Ends, method: &Method) -> bool {
    match ends {
        Ends::After(_) => true,
        Ends::AtOnce => method == Method::HEAD,
        Ends::ByChunks | Ends::WithConnection => false,
    }
}

/// A request as the app is asked it.
struct Asked<'a> {
    shared: &'a Rc<Shared>,
    source: SocketAddr,
    head: &'a [u8],
    body: &'a [u8],
    method: &'a Method,
}

impl Asked<'_> {
    async fn attempt(
        &self,
        site: &Site,
        backend: &Backend,
        patience: &mut Patience,
    ) -> Result<(Head, Line<TcpStream>), Attempt<()>> {
        let pooled = self.shared.lines.take(&backend.key);
        let is_reused = pooled.is_some();
        let mut app = match pooled {
            Some(app) => app,
            None => match upstream::open(&self.shared.settings, site, backend, self.source).await {
                Ok(stream) => Line::new(stream, &self.shared.buffers),
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, ?backend, "cannot connect");
                    return Err(Attempt::Unsent(()));
                }
            },
        };
        let may_repeat = is_reused && forward::is_safe_method(self.method) && self.body.is_empty();
        let until = after(site.rules.timeout);
        match self.ask(&mut app, patience, until).await {
            Ok(head) => Ok((head, app)),
            Err(Lost::Late) => Err(Attempt::Lost(forward::too_late())),
            Err(Lost::Unsent) => Err(Attempt::Unsent(())),
            Err(Lost::Broken) if may_repeat => Err(Attempt::Unsent(())),
            Err(Lost::Broken) => {
                tracing::debug!(?backend, "request lost");
                Err(Attempt::Lost(forward::unanswered()))
            }
        }
    }

    async fn ask(
        &self,
        app: &mut Line<TcpStream>,
        patience: &mut Patience,
        until: Instant,
    ) -> Result<Head, Lost> {
        match app.write(patience, until, self.head, self.body).await {
            Ok(()) => {}
            Err((_, Failure::Late)) => return Err(Lost::Late),
            Err((0, Failure::Broken)) => return Err(Lost::Unsent),
            // It may have answered before it hung up.
            Err((_, Failure::Broken)) => {}
        }
        loop {
            match response::read(app.unread(), self.method, &self.shared.buffers) {
                Ok(Some((head, length))) => {
                    app.consume(length);
                    return Ok(head);
                }
                Ok(None) => {}
                Err(response::Malformed) => return Err(Lost::Broken),
            }
            match app.fill(patience, until, ANSWER_HEAD_BYTES_MAX).await {
                Ok(()) => {}
                Err(Failure::Late) => return Err(Lost::Late),
                Err(Failure::Broken) => return Err(Lost::Broken),
            }
        }
    }
}

/// Why there is no answer.
enum Lost {
    /// Nothing of the request went out.
    Unsent,
    Late,
    Broken,
}

/// What an answer to this request depends on, whoever gives it.
struct Outcome<'a> {
    is_last: bool,
    version: http::Version,
    shared: &'a Shared,
    shutdown: &'a watch::Receiver<bool>,
    site: Option<Found>,
}

impl Outcome<'_> {
    /// A router that stops takes no further request on any connection.
    fn is_last_now(&self) -> bool {
        self.is_last || *self.shutdown.borrow()
    }

    async fn refuse<S>(
        self,
        admitted: Admitted,
        refusal: Refusal,
        method: &Method,
        visitor: &mut Line<S>,
        patience: &mut Patience,
    ) -> Ended
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let is_last = self.is_last_now() || refusal.is_last;
        let (mut response, text) = refusal.into_parts();
        let site = self.site.as_deref();
        admitted.wishes.add_to(&admitted.table.rules, site, &admitted.caller, &mut response, false);
        admitted.entry.end(self.shared, site, response.status());
        add_length(response.headers_mut(), text.len());
        let body = if method == Method::HEAD { "" } else { text.as_str() };
        let mut head = self.shared.buffers.head();
        write::response(&response, self.version, Framing::Told, is_last, &mut head);
        let until = after(self.shared.settings.head_timeout);
        match visitor.write(patience, until, &head, body.as_bytes()).await {
            Err(_) => Ended::Cut,
            Ok(()) if is_last => Ended::Last,
            Ok(()) => Ended::Well,
        }
    }
}

fn add_length(headers: &mut HeaderMap, length: usize) {
    headers.insert(header::CONTENT_LENGTH, length.into());
}
