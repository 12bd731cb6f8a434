//! Names of registries, looked up with some patience: a cluster's DNS under load answers with "try again", and a build
//! of minutes must not fail for that.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use tower::Service;

/// How often a name is looked up before it counts as unknown.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

#[derive(Clone)]
pub struct PatientResolver(GaiResolver);

impl PatientResolver {
    pub fn new() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for PatientResolver {
    type Response = GaiAddrs;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<GaiAddrs>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let mut resolver = self.0.clone();
        Box::pin(async move {
            let mut pause = FIRST_PAUSE;
            for _ in 1..TRIES {
                if let Ok(found) = resolver.call(name.clone()).await {
                    return Ok(found);
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            resolver.call(name).await
        })
    }
}
