//! Connections that have switched protocols (WebSocket and the like).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderValue;
use hyper::Response;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use crate::body::ProxyBody;
use crate::http1::headers;
use crate::http1::response_error::ResponseError;
use crate::limits::connections::StreamHandle;
use crate::metrics::{AppMetrics, Counter};
use crate::phases::Refusal;
use crate::table::in_flight::InFlightGuard;

/// Connects client and app after a 101 (WebSocket and the like), until both have hung up.
pub(super) fn switch_protocols(
    silence_max: Duration,
    mut response: Response<Incoming>,
    visitor: Option<(HeaderValue, OnUpgrade)>,
    mut guard: InFlightGuard,
    attended: &Rc<StreamHandle>,
) -> Response<ProxyBody> {
    let visitor = visitor.filter(|(asked, _)| headers::agrees(asked, response.headers()));
    let Some((_, visitor)) = visitor else {
        guard.under_way().lost();
        return Refusal::from(ResponseError::Switched).into_response();
    };
    guard.switched();
    let app = hyper::upgrade::on(&mut response);
    let attended = Rc::clone(attended);
    tokio::task::spawn_local(async move {
        let joined = async { tokio::try_join!(visitor, app) }.await;
        if let Ok((visitor, app)) = joined {
            tunnel(TokioIo::new(visitor), TokioIo::new(app), silence_max, guard.metrics()).await;
        }
        drop((guard, attended));
    });
    let (parts, _) = response.into_parts();
    Response::from_parts(parts, ProxyBody::empty())
}

/// Copies in both directions until both sides have ended, one has failed, or nothing came for `silence_max`.
async fn tunnel<V, A>(visitor: V, app: A, silence_max: Duration, metrics: &AppMetrics)
where
    V: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let last_moved = Cell::new(Instant::now());
    let (mut from_visitor, mut to_visitor) = tokio::io::split(visitor);
    let (mut from_app, mut to_app) = tokio::io::split(app);
    let both = async {
        tokio::join!(
            copy_noting(&mut from_visitor, &mut to_app, &last_moved, &metrics.bytes_in),
            copy_noting(&mut from_app, &mut to_visitor, &last_moved, &metrics.bytes_out),
        )
    };
    let silent = async {
        while last_moved.get().elapsed() < silence_max {
            tokio::time::sleep_until(last_moved.get() + silence_max).await;
        }
    };
    tokio::select! { _ = both => (), () = silent => () }
}

async fn copy_noting<R, W>(from: &mut R, to: &mut W, moved: &Cell<Instant>, bytes: &Counter)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        moved.set(Instant::now());
        bytes.add(length as u64);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    // The other direction may continue: half-closed connections are legal.
    let _ = to.shutdown().await;
}
