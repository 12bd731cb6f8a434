//! Makes sure that each request is worked to its end and answered.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use listener::http::RequestHandle;

use super::error::ApiError;

/// Runs the handler on a task of its own: a client that hangs up does not stop work that has begun
/// (docs/spec/api.md 1.8), and a panic becomes a response. Work counts as under way until its end, also after the
/// client has hung up.
pub(crate) async fn whatever_happens(request: Request, next: Next) -> Response {
    let under_way = request.extensions().get::<RequestHandle>().cloned();
    let work = next.run(request);
    let work = tokio::spawn(async move {
        let response = work.await;
        drop(under_way);
        response
    });
    match work.await {
        Ok(response) => response,
        Err(error) => ApiError::internal(error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn;
    use axum::routing::get;
    use tokio::sync::Notify;
    use tower::ServiceExt as _;

    use super::*;

    fn ask() -> Request {
        Request::builder().uri("/").body(Body::empty()).expect("a request")
    }

    #[tokio::test]
    async fn a_panic_becomes_a_server_error() {
        let panics = get(async || -> &'static str { panic!("on purpose") });
        let router = Router::new().route("/", panics).layer(from_fn(whatever_happens));

        let response = router.oneshot(ask()).await.expect("routers do not fail");

        assert_eq!(response.status(), 500);
        let body = to_bytes(response.into_body(), 1024).await.expect("a body");
        assert_eq!(body, r#"{"detail":"Server Error"}"#);
    }

    #[tokio::test]
    async fn work_goes_on_when_the_client_hangs_up() {
        let (begun, go_on, done) =
            (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (begun, go_on, done) = (begun.clone(), go_on.clone(), done.clone());
            get(async move || {
                begun.notify_one();
                go_on.notified().await;
                done.notify_one();
            })
        };
        let router = Router::new().route("/", handler).layer(from_fn(whatever_happens));

        let request = tokio::spawn(router.oneshot(ask()));
        begun.notified().await;
        request.abort();
        assert!(request.await.is_err(), "the client hung up");
        go_on.notify_one();

        let done = tokio::time::timeout(Duration::from_secs(10), done.notified()).await;
        done.expect("the work is done all the same");
    }
}
