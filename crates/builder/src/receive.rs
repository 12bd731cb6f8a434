//! Serves `git push`, `git fetch` and `git clone`: access first, then the disk, then the system's git.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::AppName;
use tokio_util::sync::CancellationToken;

use crate::Builder;
use crate::access::AccessError;
use crate::hook::{SOCKET_VARIABLE, TOKEN_VARIABLE};
use crate::locks::AppLock;
use crate::pushes::Push;
use crate::relay::Wire;
use crate::repositories::remove_leftovers;

/// What git itself ends with when the other end refuses.
const REFUSED: u32 = 128;
const FAILED: u32 = 1;
/// Seconds without progress after which a fetch is given up, and the most that one may take.
const FETCH_IDLE_SECONDS: u32 = 120;
const FETCH_MAX: Duration = Duration::from_secs(3_600);
/// What git may need beside receiving, building and releasing.
const SLACK: Duration = Duration::from_secs(120);

/// Why a command does not reach git; the text is what the client sees.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("Another git push is ongoing")]
    Busy,
    #[error(
        "the platform's disk is nearly full ({left_mib} MiB left); tell the operator to free space, then try again"
    )]
    DiskFull { left_mib: u64 },
    #[error("the repository cannot be opened: {0}; tell the operator")]
    Repository(#[source] std::io::Error),
}

/// Serves a push to its end, also when the client leaves in the middle of the build.
pub(crate) async fn receive_pack(builder: &Builder, user: &str, app: &AppName, wire: &mut Wire) -> u32 {
    let started = Instant::now();
    match prepare_push(builder, user, app).await {
        Ok((lock, repository)) => {
            let (app, user) = (app.clone(), user.to_owned());
            let received = CancellationToken::new();
            let accepted = AtomicBool::new(false);
            let push = Arc::new(Push { app, user, repository, started, received, accepted, _lock: lock });
            let status = receive(builder, &push, wire).await;
            // Git ends well also where the hook has refused everything.
            if push.accepted.load(Ordering::Relaxed) {
                builder.keep_copy(&push).await;
            }
            status
        }
        Err(refusal) => {
            wire.refuse(&refusal.to_string()).await;
            REFUSED
        }
    }
}

/// Serves a fetch. Reads take no lock.
pub(crate) async fn upload_pack(builder: &Builder, user: &str, app: &AppName, wire: &mut Wire) -> u32 {
    let repository = match prepare(builder, user, app).await {
        Ok(repository) => repository,
        Err(refusal) => {
            wire.refuse(&refusal.to_string()).await;
            return REFUSED;
        }
    };
    let idle = format!("--timeout={FETCH_IDLE_SECONDS}");
    let command = builder.git.command(["upload-pack".as_ref(), idle.as_ref(), repository.as_os_str()]);
    let (gone, never) = (wire.gone.clone(), CancellationToken::new());
    tokio::select! {
        status = wire.serve(command, &never) => exit_status(status),
        () = gone.cancelled() => FAILED,
        () = builder.stopping.cancelled() => FAILED,
        () = tokio::time::sleep(FETCH_MAX) => FAILED,
    }
}

async fn prepare_push(builder: &Builder, user: &str, app: &AppName) -> Result<(AppLock, PathBuf), Refusal> {
    let access = builder.hooks.access(user, app).await?;
    let lock = builder.locks.try_lock(app).ok_or(Refusal::Busy)?;
    check_space(builder)?;
    let repository = builder.repositories.open(&builder.copies(), app, &access.uuid).await;
    let repository = repository.map_err(Refusal::Repository)?;
    remove_leftovers(&repository);
    Ok((lock, repository))
}

async fn prepare(builder: &Builder, user: &str, app: &AppName) -> Result<PathBuf, Refusal> {
    let access = builder.hooks.access(user, app).await?;
    let opened = builder.repositories.open(&builder.copies(), app, &access.uuid).await;
    opened.map_err(Refusal::Repository)
}

fn check_space(builder: &Builder) -> Result<(), Refusal> {
    let disk = nix::sys::statvfs::statvfs(&builder.settings.data_dir);
    let disk = disk.map_err(|error| Refusal::Repository(error.into()))?;
    let left_bytes = disk.blocks_available().saturating_mul(disk.fragment_size());
    if left_bytes < builder.settings.disk_free_bytes_min {
        return Err(Refusal::DiskFull { left_mib: left_bytes >> 20 });
    }
    Ok(())
}

async fn receive(builder: &Builder, push: &Arc<Push>, wire: &mut Wire) -> u32 {
    let expected = builder.pushes.expect(push);
    let mut command = builder.git.command(["receive-pack".as_ref(), push.repository.as_os_str()]);
    command.env(SOCKET_VARIABLE, &builder.control_path).env(TOKEN_VARIABLE, &expected.token);
    let status = tokio::select! {
        status = wire.serve(command, &push.received) => Some(status),
        () = overdue(builder, push) => None,
    };
    match status {
        Some(status) => exit_status(status),
        None => {
            let reason = if builder.stopping.is_cancelled() {
                "the platform is stopping; push again when it is back"
            } else {
                "the push took too long to arrive; check the network, then push again"
            };
            wire.complain(&format!("error: {reason}")).await;
            FAILED
        }
    }
}

/// Ends when git should have ended: receiving and building have a time of their own each.
async fn overdue(builder: &Builder, push: &Push) {
    let settings = &builder.settings;
    let receive = Duration::from_secs(u64::from(settings.receive_deadline_seconds));
    let work = u64::from(settings.build_deadline_seconds) + u64::from(settings.release_deadline_seconds);
    tokio::select! {
        () = push.received.cancelled() => tokio::time::sleep(Duration::from_secs(work) + SLACK).await,
        () = builder.stopping.cancelled() => {}
        () = tokio::time::sleep(receive) => {}
    }
}

fn exit_status(status: std::io::Result<std::process::ExitStatus>) -> u32 {
    match status {
        Ok(status) => status.code().and_then(|code| u32::try_from(code).ok()).unwrap_or(FAILED),
        Err(error) => {
            tracing::error!(%error, "cannot run git; is it installed?");
            FAILED
        }
    }
}
