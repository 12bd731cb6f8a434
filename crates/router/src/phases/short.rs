//! All phases of an ordinary request on the short way (`fast`), where hyper has no part.

use std::net::SocketAddr;
use std::rc::Rc;

use domain::edge::{Protocol, SiteRules};
use domain::routing::Backend;
use http::{Method, Request, StatusCode, Version, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::caller::Caller;
use super::forward::{self, Attempt, Exchange};
use super::{Admitted, Refusal, Verdict, answer, headers, limits};
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
    if needs_long_way(&verdict, &request) {
        return Ended::ForLongWay;
    }
    let (method, version) = (request.method().clone(), request.version());
    let mut passage = Passage { shared, shutdown, visitor, patience, method, version, is_last };
    let (site, host) = match verdict {
        Ok(found) => found,
        Err((found, refusal)) => {
            passage.visitor.consume(head_bytes + body_bytes);
            return passage.refuse(admitted, found.map(|(site, _)| site), refusal).await;
        }
    };
    let permit = match limits::admit(shared, &site, &admitted.caller) {
        Ok(permit) => permit,
        Err(refusal) => {
            passage.visitor.consume(head_bytes + body_bytes);
            return passage.refuse(admitted, Some(site), refusal).await;
        }
    };
    let wanted = forward::wanted_replica(&site, &request);
    let mark = wanted.as_ref().and_then(|wanted| wanted.as_deref());
    let sizes = (head_bytes, body_bytes);
    match passage.ask(&admitted.caller, site.clone(), &host, mark, request, sizes).await {
        Ok(exchange) => passage.answer(admitted, site, &host, wanted, exchange.keeping(permit)).await,
        Err(refusal) => passage.refuse(admitted, Some(site), refusal).await,
    }
}

/// What is refused for its form is rare, and so is what an app has told in its log.
fn needs_long_way(verdict: &Verdict, request: &Request<()>) -> bool {
    match verdict {
        Ok((site, _)) => {
            !is_known(site) || site.destination(request.uri().path()).protocol != Protocol::Http1
        }
        Err((found, refusal)) => refusal.is_last || found.as_ref().is_some_and(|(site, _)| !is_known(site)),
    }
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

/// One request on its way, with the connection that it came on.
struct Passage<'a, S> {
    shared: &'a Rc<Shared>,
    shutdown: &'a watch::Receiver<bool>,
    visitor: &'a mut Line<S>,
    patience: &'a mut Patience,
    method: Method,
    version: Version,
    /// The visitor wants no other answer.
    is_last: bool,
}

type Answer = (Head, Line<TcpStream>);

impl<S: AsyncRead + AsyncWrite + Unpin> Passage<'_, S> {
    /// Brings the request to a replica and gives the head of its answer, with the connection that has the rest.
    async fn ask(
        &mut self,
        caller: &Caller,
        site: Found,
        host: &str,
        mark: Option<&str>,
        mut request: Request<()>,
        (head_bytes, body_bytes): (usize, usize),
    ) -> Result<Exchange<Answer>, Refusal> {
        let Self { shared, visitor, patience, method, .. } = self;
        forward::prepare_head(&site, caller, &mut request);
        let mut head = shared.buffers.head();
        write::request(&request, &mut head);
        site.metrics(&shared.metrics).bytes_in.add(body_bytes as u64);
        // Without a body, the visitor's buffer is of no more use.
        visitor.consume(head_bytes);
        let body = &visitor.unread()[..body_bytes];
        let source = SocketAddr::new(caller.address, caller.address_port);
        let asked = Asked { shared, source, head: &head, body, method };
        let attempt = async |site: &Site, backend: &Backend, _: &mut _, ()| {
            asked.attempt(site, backend, patience).await
        };
        let exchanged = forward::exchange(shared, site, host, request.uri(), mark, (), attempt).await;
        visitor.consume(body_bytes);
        shared.buffers.give_back(std::mem::take(request.headers_mut()));
        shared.buffers.give_back_head(head);
        exchanged
    }

    async fn answer(
        &mut self,
        admitted: Admitted,
        site: Found,
        host: &str,
        wanted: Option<Option<String>>,
        exchange: Exchange<Answer>,
    ) -> Ended {
        let Exchange { answer: (Head { mut response, ends, stays_open }, mut app), guard } = exchange;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.refuse(admitted, Some(site), forward::switched_unasked()).await;
        }
        if !headers::has_known_coding(response.headers()) {
            return self.refuse(admitted, Some(site), forward::oddly_coded()).await;
        }
        let Admitted { table, caller, entry, wishes } = admitted;
        forward::pass_on(response.headers_mut(), wanted, guard.backend_key(), &caller);
        if !has_length(ends, &self.method) {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let is_streamed = !matches!(ends, Ends::AtOnce | Ends::After(0));
        let coding = wishes.add_to(&table.rules, Some(&site), &caller, &mut response, is_streamed);
        // Without memory for it, it goes as it is.
        let encoder = coding.and_then(|coding| Some((coding, Encoder::new(coding).ok()?)));
        encoder.iter().for_each(|(coding, _)| answer::describe_compressed(response.headers_mut(), *coding));
        let framing = if encoder.is_some() { Framing::Chunks } else { write::framing(ends, self.version) };
        let is_last = self.is_last_now() || framing == Framing::Close;
        entry.end(self.shared, Some(&site), response.status());

        let mut head = self.shared.buffers.head();
        write::response(&response, self.version, framing, is_last, &mut head);
        self.shared.buffers.give_back(std::mem::take(response.headers_mut()));
        let (bytes, silence_max) = (&guard.metrics().bytes_out, site.rules.timeout);
        let (visitor, patience) = (&mut *self.visitor, &mut *self.patience);
        let mut relay = Relay { visitor, app: &mut app, patience, silence_max, bytes };
        let carried = match encoder {
            Some((_, encoder)) => relay.compress(&mut head, ends, encoder).await,
            None => relay.carry(&mut head, ends, framing).await,
        };
        self.shared.buffers.give_back_head(head);
        if let Err(cut) = carried {
            if cut != CutBy::Visitor {
                guard.under_way().lost();
            }
            return Ended::Cut;
        }
        let still_serves = || self.shared.still_serves(table.version, host, guard.backend_key());
        if stays_open && app.is_at_rest() && still_serves() {
            self.shared.lines.put(guard.backend_key(), app);
        }
        if is_last { Ended::Last } else { Ended::Well }
    }

    async fn refuse(&mut self, admitted: Admitted, site: Option<Found>, refusal: Refusal) -> Ended {
        let is_last = self.is_last_now() || refusal.is_last;
        let (mut response, text) = refusal.into_parts();
        let site = site.as_deref();
        admitted.wishes.add_to(&admitted.table.rules, site, &admitted.caller, &mut response, false);
        admitted.entry.end(self.shared, site, response.status());
        response.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
        let body = if self.method == Method::HEAD { "" } else { text.as_str() };
        let mut head = self.shared.buffers.head();
        write::response(&response, self.version, Framing::Told, is_last, &mut head);
        let until = after(self.shared.settings.head_timeout);
        match self.visitor.write(self.patience, until, &head, body.as_bytes()).await {
            Err(_) => Ended::Cut,
            Ok(()) if is_last => Ended::Last,
            Ok(()) => Ended::Well,
        }
    }

    /// A router that stops takes no further request on any connection.
    fn is_last_now(&self) -> bool {
        self.is_last || *self.shutdown.borrow()
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
