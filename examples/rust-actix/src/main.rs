//! A small web app that answers with its name.

use actix_web::{App, HttpServer, get};

#[get("/")]
async fn index() -> String {
    greeting::text()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(5000);
    HttpServer::new(|| App::new().service(index)).workers(2).bind(("0.0.0.0", port))?.run().await
}
