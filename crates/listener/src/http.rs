//! An HTTP/1.1 server with limits, for every listener but the router's.
//!
//! Bounded are connections and requests under way, in all and by source; heads in bytes and seconds; bodies in bytes
//! (each, in all, by source and by user) and seconds. While a request is still coming it costs its buffers and nothing
//! else: the handler is called once the head and a small body are there. Where there is no room, connections that wait
//! for their client are closed first, the oldest of the source that has most of them: for a request, for more of a
//! body, or that an answer is taken. So who connects gets a turn, however many half-sent requests are held open.

mod body;
mod connections;
mod requests;
mod taken;

use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use body::{BodyLimits, RequestBody, RequestBodyError, SMALL_BODY_BYTES};
pub use requests::{PeerSource, RequestHandle, forwarded_for};

use crate::{ConnectionLimits, ConnectionRefusal, Network};
use body::Bodies;
use connections::{AdmittedConnection, ListenerConnections};
use requests::Requests;
use taken::Taken;

/// Time for which an idle connection stays open at shutdown, in case a request is on its way.
const LAST_REQUEST: Duration = Duration::from_secs(1);
/// Pause after the system had no file or memory for a connection.
const OUT_OF_FILES_PAUSE: Duration = Duration::from_millis(50);
/// Connections that wait for their client and are closed then.
const SHED_WHEN_OUT_OF_FILES: usize = 16;
/// Between two log lines about connections that are refused.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Bounds of a listener that serves HTTP.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Open at once.
    pub connections_max: usize,
    /// Open at once from one source.
    pub connections_by_source_max: usize,
    /// Requests under way at once for one source. In all there are twice as many as connections: clients hang up, or
    /// are closed for others, and what they asked for has its end a moment later.
    pub requests_by_source_max: usize,
    /// Bytes of the head of a request; at least 8,192. The answer beyond is 431.
    pub head_bytes_max: usize,
    /// From the connection, or the end of the answer before, to the end of the head of a request.
    pub head_timeout: Duration,
    /// `None` where the handler reads bodies piece by piece and keeps none, and bounds them itself.
    pub bodies: Option<BodyLimits>,
    /// Peers without a share of their own, whose `X-Forwarded-For` names the source.
    pub trusted_proxies: Vec<Network>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_by_source_max: 256,
            requests_by_source_max: 128,
            head_bytes_max: 16 << 10,
            head_timeout: Duration::from_secs(20),
            bodies: Some(BodyLimits::default()),
            trusted_proxies: Vec::new(),
        }
    }
}

impl HttpLimits {
    /// For a listener on which only the platform's own parts speak, from few addresses: no shares, and no forwarding.
    pub fn among_ourselves(connections_max: usize) -> Self {
        Self {
            connections_max,
            connections_by_source_max: connections_max,
            requests_by_source_max: connections_max,
            ..Self::default()
        }
    }
}

/// State that every connection needs.
struct Server<H> {
    handler: H,
    connections: Arc<ListenerConnections>,
    requests: Requests,
    bodies: Option<Arc<Bodies>>,
    builder: http1::Builder,
}

/// Serves until `stop`, then until the requests under way are answered.
///
/// `handler` finds the [`PeerSource`] and the guard that keeps the request counted, [`RequestHandle`], in the request's
/// extensions.
pub async fn serve<H, F, B>(
    listener: TcpListener,
    limits: HttpLimits,
    handler: H,
    stop: impl Future<Output = ()>,
) where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let server = Arc::new(Server::new(limits, handler));
    let (stopping, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut refusal_log = RefusalLog::default();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = async { server.connections.room().await; listener.accept().await } => accepted,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => match server.connections.admit(peer.ip()) {
                Ok(place) => {
                    tasks.spawn(connection(Arc::clone(&server), stream, peer, place, stopped.clone()));
                }
                Err(refusal) => {
                    refusal_log.warn(&refusal, peer.ip());
                    refuse(stream, refusal);
                }
            },
            Err(error) if is_out_of_files(&error) => {
                refusal_log.warn(&error, IpAddr::from([0; 4]));
                server.connections.shed(SHED_WHEN_OUT_OF_FILES);
                tokio::time::sleep(OUT_OF_FILES_PAUSE).await;
            }
            // A client that went away while it waited: others may come.
            Err(_) => tokio::task::yield_now().await,
        }
    }
    drop(listener);
    stopping.send_replace(true);
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    let mut all_ended = pin!(all_ended);
    if tokio::time::timeout(LAST_REQUEST, all_ended.as_mut()).await.is_err() {
        server.connections.shed(usize::MAX);
        all_ended.await;
    }
}

impl<H> Server<H> {
    fn new(limits: HttpLimits, handler: H) -> Self {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_timeout)
            .max_buf_size(limits.head_bytes_max);
        let connections = ListenerConnections::new(ConnectionLimits {
            total_max: limits.connections_max,
            by_source_max: limits.connections_by_source_max,
            without_share: limits.trusted_proxies.clone(),
        });
        Self {
            handler,
            connections: Arc::new(connections),
            requests: Requests::new(
                2 * limits.connections_max,
                limits.requests_by_source_max,
                limits.trusted_proxies,
            ),
            bodies: limits.bodies.map(|limits| Arc::new(Bodies::new(limits))),
            builder,
        }
    }
}

async fn connection<H, F, B>(
    server: Arc<Server<H>>,
    stream: TcpStream,
    peer: SocketAddr,
    place: AdmittedConnection,
    mut stopped: watch::Receiver<bool>,
) where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Answers are small and written whole.
    let _ = stream.set_nodelay(true);
    let (slot, mut shed) = place.split();
    let service = service_fn(|request| {
        let (server, slot) = (Arc::clone(&server), Arc::clone(&slot));
        async move { Ok::<_, Infallible>(answer(&server, slot, peer.ip(), request).await) }
    });
    let stream = Taken::new(stream, Arc::downgrade(&slot));
    let served = server.builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut served = pin!(served);
    let mut is_stopping = false;
    // A closed channel means that the sender of the stop signal is gone.
    let mut stopping = pin!(async { drop(stopped.wait_for(|stop| *stop).await) });
    loop {
        tokio::select! {
            // Clients that go away in the middle are no event.
            _ = served.as_mut() => return,
            _ = &mut shed => return,
            () = stopping.as_mut(), if !is_stopping => {
                is_stopping = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

type HttpResponse<B> = Response<Either<requests::ResponseBody<B>, Full<Bytes>>>;

async fn answer<H, F, B>(
    server: &Arc<Server<H>>,
    slot: Arc<connections::Slot>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> HttpResponse<B>
where
    H: Fn(Request<RequestBody>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
{
    let client = server.requests.client(peer, request.headers());
    let (mut head, body) = request.into_parts();
    // A request that is still coming is not under way: it takes nothing from those that have come.
    let received = match &server.bodies {
        Some(bodies) => match bodies.receive_small(body).await {
            Ok(received) => Either::Left((bodies, received)),
            Err(error) => return refused(error.status(), &error.to_string()),
        },
        None => Either::Right(body),
    };
    let working = slot.working();
    let under_way = match server.requests.admit(client) {
        Ok(under_way) => under_way,
        Err(refusal) => return refused(status_of(refusal), &capitalized(refusal)),
    };
    let body = match received {
        Either::Left((bodies, received)) => bodies.body(received, &under_way, working.body_wait()),
        Either::Right(body) => RequestBody::streamed(body, working.body_wait()),
    };
    head.extensions.insert(client);
    head.extensions.insert(under_way.clone());
    // Made now, so that a request that is still coming holds no room for it.
    let answer = Box::pin((server.handler)(Request::from_parts(head, body))).await;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        working.stay();
        return answer.map(|body| Either::Left(requests::ResponseBody::new(body, None)));
    }
    answer.map(|body| Either::Left(requests::ResponseBody::new(body, Some((under_way, working)))))
}

fn status_of(refusal: ConnectionRefusal) -> StatusCode {
    match refusal {
        ConnectionRefusal::Source => StatusCode::TOO_MANY_REQUESTS,
        ConnectionRefusal::Total => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn capitalized(refusal: ConnectionRefusal) -> String {
    match refusal {
        ConnectionRefusal::Source => {
            "Too many requests from this address are under way, try again in a moment.".to_owned()
        }
        ConnectionRefusal::Total => "Too many requests are under way, try again in a moment.".to_owned(),
    }
}

/// Error in the format of the API; other clients read the status.
fn refused<B>(status: StatusCode, detail: &str) -> HttpResponse<B> {
    let detail = detail.replace('"', "'");
    let mut answer = Response::new(Either::Right(Full::from(format!("{{\"detail\":\"{detail}\"}}"))));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// Sends the reason why a connection is not served, as far as it can be written without waiting.
fn refuse(stream: TcpStream, refusal: ConnectionRefusal) {
    let Ok(mut stream) = stream.into_std() else { return };
    let status = status_of(refusal);
    let detail = format!("{{\"detail\":\"{refusal}, try again in a moment\"}}");
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        detail.len()
    );
    let _ = stream.write(&[head, detail].concat().into_bytes());
}

/// The process or the system has as many files, or as much memory for sockets, as it may.
fn is_out_of_files(error: &std::io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM))
}

/// Logs refusals, at most one in each interval.
#[derive(Default)]
struct RefusalLog(Option<Instant>);

impl RefusalLog {
    fn warn(&mut self, why: &dyn std::fmt::Display, peer: IpAddr) {
        if self.0.is_some_and(|at| at.elapsed() < REFUSAL_LOG_INTERVAL) {
            return;
        }
        self.0 = Some(Instant::now());
        tracing::warn!(%peer, "connections are refused: {why}");
    }
}

#[cfg(test)]
mod tests;
