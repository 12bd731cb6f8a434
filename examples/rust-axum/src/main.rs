//! A small web app that answers with its name.

use std::io;

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> io::Result<()> {
    let text = format!(
        "rust-axum example, powered by {} on Rust {}\n",
        setting("POWERED_BY", "Deis Workflow"),
        env!("RUST_VERSION")
    );
    let app = Router::new().route("/", get(move || async { text }));
    let listener = TcpListener::bind(format!("0.0.0.0:{}", setting("PORT", "5000"))).await?;
    let mut stop = signal(SignalKind::terminate())?;
    // Finishes the requests under way.
    axum::serve(listener, app).with_graceful_shutdown(async move { stop.recv().await.unwrap_or(()) }).await
}

fn setting(name: &str, fallback: &str) -> String {
    std::env::var(name).ok().filter(|value| !value.is_empty()).unwrap_or_else(|| fallback.to_owned())
}
