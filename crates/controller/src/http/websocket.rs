//! The handshake of a WebSocket (RFC 6455): checks what the client asks for and takes over the connection.

use axum::Json;
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A connection that becomes a WebSocket once the answer is sent.
pub(crate) struct PendingUpgrade {
    on_upgrade: OnUpgrade,
    accept: String,
    subprotocol: &'static str,
    message_bytes_max: usize,
}

impl PendingUpgrade {
    /// `None` where the request does not ask for this.
    pub(crate) fn of(
        request: &mut Request,
        subprotocol: &'static str,
        message_bytes_max: usize,
    ) -> Option<Self> {
        let headers = request.headers();
        let asks = has(headers, &CONNECTION, "upgrade")
            && has(headers, &UPGRADE, "websocket")
            && has(headers, &SEC_WEBSOCKET_VERSION, "13");
        let speaks = has(headers, &SEC_WEBSOCKET_PROTOCOL, subprotocol);
        let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let (on_upgrade, accept) = on_upgrade.zip(key).filter(|_| asks && speaks)?;
        Some(Self { on_upgrade, accept, subprotocol, message_bytes_max })
    }

    /// The answer that ends HTTP on this connection.
    pub(crate) fn answer(&self) -> Response {
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is plain ASCII");
        let headers = [
            (CONNECTION, HeaderValue::from_static("upgrade")),
            (UPGRADE, HeaderValue::from_static("websocket")),
            (SEC_WEBSOCKET_ACCEPT, accept),
            (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.subprotocol)),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }

    /// Waits until the answer has gone out. `None` where the client hung up before.
    pub(crate) async fn socket(self) -> Option<Socket> {
        let upgraded = self.on_upgrade.await.ok()?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(self.message_bytes_max))
            .max_frame_size(Some(self.message_bytes_max));
        Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await)
    }
}

/// Says what should have been asked for.
pub(crate) fn asked_wrongly(subprotocol: &str) -> Response {
    let detail = format!("This URL is a WebSocket with the subprotocol {subprotocol}.");
    let headers = [(UPGRADE, "websocket"), (SEC_WEBSOCKET_VERSION, "13")];
    (StatusCode::UPGRADE_REQUIRED, headers, Json(json!({ "detail": detail }))).into_response()
}

/// Returns true if the list in a header contains a word.
fn has(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lists = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|entry| entry.trim().eq_ignore_ascii_case(word))
}
