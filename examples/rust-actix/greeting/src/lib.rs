//! The text of the app.

pub fn text() -> String {
    let powered_by = std::env::var("POWERED_BY").unwrap_or_else(|_| "Deis Workflow".to_owned());
    format!("rust-actix example on Rust {}, {powered_by}\n", env!("RUST_VERSION"))
}
