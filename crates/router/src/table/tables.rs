//! Prepares each table of the engine for the workers, on a thread of its own: no request waits meanwhile, and all
//! workers share the result.

use std::sync::Arc;

use domain::routing::RouteTable;
use tokio::sync::watch;

use crate::table::Table;
use crate::table::tls::TlsConfigs;

/// The newest table, made ready.
pub(crate) type Tables = watch::Receiver<Arc<Table>>;

/// Makes the first table at once and the others as they come, until all workers have ended.
pub(crate) fn start(
    mut routes: watch::Receiver<Arc<RouteTable>>,
    tls: Option<Arc<TlsConfigs>>,
    workers: usize,
) -> std::io::Result<(Tables, std::thread::JoinHandle<()>)> {
    let first = Table::new(&routes.borrow_and_update(), None, tls.as_deref(), workers);
    let (ready, tables) = watch::channel(Arc::new(first));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let follow = async move {
        while tokio::select! { changed = routes.changed() => changed.is_ok(), () = ready.closed() => false } {
            let newest = Arc::clone(&routes.borrow_and_update());
            let before = Arc::clone(&ready.borrow());
            ready.send_replace(Arc::new(Table::new(&newest, Some(&before), tls.as_deref(), workers)));
        }
        // After the engine is gone, workers continue with the current table.
        ready.closed().await;
    };
    let thread = std::thread::Builder::new().name("router-tables".to_owned());
    Ok((tables, thread.spawn(move || runtime.block_on(follow))?))
}
