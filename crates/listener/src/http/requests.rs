//! Requests under way, by source and in all.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::body::Room;
use super::connections::ActiveRequest;
use crate::{ConnectionLimit, ConnectionLimits, ConnectionPermit, ConnectionRefusal, Network, Source};

/// Source of a request: the peer, or the client that a trusted proxy names. `None` if such a proxy names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerSource(pub Option<Source>);

/// Keeps a request counted, and its memory for bodies reserved, until all clones are dropped.
#[derive(Debug, Clone)]
pub struct RequestHandle(Arc<RequestHold>);

#[derive(Debug)]
struct RequestHold {
    client: PeerSource,
    _permit: ConnectionPermit,
    room: OnceLock<Room>,
}

pub(super) struct Requests {
    limit: ConnectionLimit,
    trusted_proxies: Vec<Network>,
}

impl Requests {
    pub(super) fn new(total_max: usize, by_source_max: usize, trusted_proxies: Vec<Network>) -> Self {
        let limits = ConnectionLimits { total_max, by_source_max, without_share: Vec::new() };
        Self { limit: ConnectionLimit::new(limits), trusted_proxies }
    }

    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> PeerSource {
        let is_trusted = self.trusted_proxies.iter().any(|network| network.contains(peer));
        PeerSource(if is_trusted { forwarded_for(headers) } else { Some(Source::from(peer)) })
    }

    pub(super) fn admit(&self, client: PeerSource) -> Result<RequestHandle, ConnectionRefusal> {
        let permit = self.limit.admit_source(client.0)?;
        Ok(RequestHandle(Arc::new(RequestHold { client, _permit: permit, room: OnceLock::new() })))
    }
}

impl RequestHandle {
    pub(super) fn client(&self) -> PeerSource {
        self.0.client
    }

    /// Counts its body in the share of this user, besides that of its source. To be called before the body is read.
    pub fn set_user(&self, user: &str) {
        // A small body takes nothing from the room.
        if let Some(room) = self.room() {
            room.set_user(user);
        }
    }

    /// Gives it room for a large body.
    pub(super) fn give_room(&self, room: Room) {
        // A request has one body.
        let _ = self.0.room.set(room);
    }

    pub(super) fn room(&self) -> Option<&Room> {
        self.0.room.get()
    }
}

/// Peer of the proxy in front: the last address of `X-Forwarded-For`.
pub fn forwarded_for(headers: &HeaderMap) -> Option<Source> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    let address: IpAddr = last.rsplit(',').next()?.trim().parse().ok()?;
    Some(Source::from(address))
}

/// A response being sent; the request is under way until its end.
pub(super) struct ResponseBody<B> {
    body: Pin<Box<B>>,
    _until_its_end: Option<(RequestHandle, ActiveRequest)>,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(body: B, until_its_end: Option<(RequestHandle, ActiveRequest)>) -> Self {
        Self { body: Box::pin(body), _until_its_end: until_its_end }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.body.as_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(forwarded: &[&'static str]) -> HeaderMap {
        let value = |text: &&'static str| {
            (http::HeaderName::from_static("x-forwarded-for"), text.parse().expect("text"))
        };
        forwarded.iter().map(value).collect()
    }

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_speaks() {
        let requests = Requests::new(10, 10, vec!["127.0.0.0/8".parse().expect("a range")]);
        let of = |peer: &str, forwarded: &[&'static str]| {
            requests.client(peer.parse().expect("an address"), &headers(forwarded)).0
        };
        let source = |text: &str| Some(Source::from(text.parse::<IpAddr>().expect("an address")));

        assert_eq!(of("127.0.0.1", &["6.6.6.6, 192.0.2.1"]), source("192.0.2.1"));
        assert_eq!(of("127.0.0.1", &["6.6.6.6", "192.0.2.2"]), source("192.0.2.2"));
        assert_eq!(of("127.0.0.1", &[]), None);
        assert_eq!(of("127.0.0.1", &["unknown"]), None);
        assert_eq!(of("203.0.113.5", &["192.0.2.1"]), source("203.0.113.5"));
    }
}
