//! Serves `git push`, `git fetch` and `git clone`: access first, then the disk, then the system's git.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use domain::AppName;
use domain::branch::DeployBranch;
use domain::build::BuildKind;
use domain::build_plan::BuildSettings;
use domain::stacks::StackName;
use tokio_util::sync::CancellationToken;

use crate::Builder;
use crate::access::{AccessError, deploy_branch, stack};
use crate::hook::{SOCKET_VARIABLE, TOKEN_VARIABLE};
use crate::limits::{DISK_FULL, GitTask, broken_limit};
use crate::locks::AppLock;
use crate::pusher::write_log;
use crate::pushes::Push;
use crate::relay::{Meter, SshChannel};
use crate::repositories::remove_orphans;
use crate::shallow;
use crate::shares::{ShareExceeded, SharePermit};

/// Exit code of git when the other end refuses.
const REFUSED: u32 = 128;
const FAILED: u32 = 1;
/// Seconds without progress after which a fetch is given up, and the most that one may take.
const FETCH_IDLE_SECONDS: u32 = 120;
const FETCH_MAX: Duration = Duration::from_secs(3_600);
/// Longest wait until git may begin to unpack a push.
const TURN_MAX: Duration = Duration::from_secs(60);
/// Least progress of a push within [`BuilderSettings::turn_idle_max`](crate::BuilderSettings) to keep its turn
/// while others wait: bytes a second that arrive, or hundredths of the processor time that git uses.
const TURN_BYTES_PER_SECOND_MIN: u64 = 64 << 10;
const TURN_WORK_MIN_PERCENT: u64 = 10;
/// Time for git beside receiving, building and releasing.
const SLACK: Duration = Duration::from_secs(120);

/// A command that does not reach git; the text is shown to the client.
#[derive(Debug, thiserror::Error)]
enum CommandRefusal {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("Another git push is ongoing")]
    Locked,
    #[error(
        "you have {by_user_max} {what} under way, and more at once are not served; wait for one of them, then try again"
    )]
    Share { what: &'static str, by_user_max: usize },
    #[error("as many {what} are under way as the platform serves at once; try again in a minute")]
    Full { what: &'static str },
    #[error(
        "the platform's disk is nearly full ({left_mib} MiB left); tell the operator to free space, then try again"
    )]
    DiskFull { left_mib: u64 },
    #[error("{DISK_FULL}")]
    NoRoom,
    #[error("the repository cannot be opened: {0}; tell the operator")]
    Repository(#[source] std::io::Error),
}

/// Serves a push to its end, also when the client leaves in the middle of the build.
pub(crate) async fn receive_pack(builder: &Builder, user: &str, app: &AppName, wire: &mut SshChannel) -> u32 {
    let started = Instant::now();
    match prepare_push(builder, user, app).await {
        Ok(PreparedPush { lock, repository, branch, build, stack, turn, _push }) => {
            let (app, user) = (app.clone(), user.to_owned());
            let received = CancellationToken::new();
            let accepted = AtomicBool::new(false);
            let push = Arc::new(Push {
                app,
                user,
                repository,
                branch,
                build,
                stack,
                started,
                received,
                accepted,
                _lock: lock,
            });
            let status = receive(builder, &push, turn, wire).await;
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
pub(crate) async fn upload_pack(builder: &Builder, user: &str, app: &AppName, wire: &mut SshChannel) -> u32 {
    let (repository, _share) = match prepare(builder, user, app).await {
        Ok(prepared) => prepared,
        Err(refusal) => {
            wire.refuse(&refusal.to_string()).await;
            return REFUSED;
        }
    };
    let idle = format!("--timeout={FETCH_IDLE_SECONDS}");
    let command =
        builder.git.command(GitTask::Serve, ["upload-pack".as_ref(), idle.as_ref(), repository.as_os_str()]);
    let (gone, never) = (wire.gone.clone(), CancellationToken::new());
    tokio::select! {
        status = wire.serve(command, &never) => exit_status(status),
        () = gone.cancelled() => FAILED,
        () = builder.stopping.cancelled() => FAILED,
        () = tokio::time::sleep(FETCH_MAX) => FAILED,
    }
}

/// Resources of a push.
struct PreparedPush {
    lock: AppLock,
    repository: PathBuf,
    branch: Option<DeployBranch>,
    build: BuildSettings,
    stack: StackName,
    /// Until git has unpacked it.
    turn: SharePermit,
    _push: SharePermit,
}

async fn prepare_push(builder: &Builder, user: &str, app: &AppName) -> Result<PreparedPush, CommandRefusal> {
    let access = builder.hooks.access(user, app).await?;
    let what = "pushes";
    let by_user_max = builder.pushing.by_user_max();
    let _push = builder.pushing.try_take(user).map_err(|full| refused(full, what, by_user_max))?;
    let lock = builder.locks.try_lock(app).ok_or(CommandRefusal::Locked)?;
    check_space(builder)?;
    let repository = builder.repositories.open(&builder.copies(), app, &access.uuid).await;
    let repository = repository.map_err(unusable)?;
    remove_orphans(&repository);
    let by_user_max = builder.unpacking.by_user_max();
    let turn = builder.unpacking.take(user, TURN_MAX).await;
    let turn = turn.map_err(|full| refused(full, "pushes that are being received", by_user_max))?;
    let build = BuildSettings {
        kind: access.build_kind.as_deref().and_then(BuildKind::parse),
        builder: access.builder.clone(),
        default_builder: access.default_builder.clone(),
    };
    Ok(PreparedPush {
        lock,
        repository,
        branch: deploy_branch(&access)?,
        build,
        stack: stack(&access)?,
        turn,
        _push,
    })
}

async fn prepare(
    builder: &Builder,
    user: &str,
    app: &AppName,
) -> Result<(PathBuf, SharePermit), CommandRefusal> {
    let access = builder.hooks.access(user, app).await?;
    let by_user_max = builder.fetching.by_user_max();
    let share = builder.fetching.try_take(user).map_err(|full| refused(full, "fetches", by_user_max))?;
    let opened = builder.repositories.open(&builder.copies(), app, &access.uuid).await;
    Ok((opened.map_err(unusable)?, share))
}

/// Git reports a full disk only in its output.
fn unusable(error: std::io::Error) -> CommandRefusal {
    let is_full =
        error.kind() == std::io::ErrorKind::StorageFull || error.to_string().contains("No space left");
    if is_full { CommandRefusal::NoRoom } else { CommandRefusal::Repository(error) }
}

fn refused(full: ShareExceeded, what: &'static str, by_user_max: usize) -> CommandRefusal {
    match full {
        ShareExceeded::User => CommandRefusal::Share { what, by_user_max },
        ShareExceeded::Total => CommandRefusal::Full { what },
    }
}

fn check_space(builder: &Builder) -> Result<(), CommandRefusal> {
    let disk = nix::sys::statvfs::statvfs(&builder.settings.data_dir);
    let disk = disk.map_err(|error| CommandRefusal::Repository(error.into()))?;
    let left_bytes = disk.blocks_available().saturating_mul(disk.fragment_size());
    if left_bytes < builder.settings.disk_free_bytes_min {
        return Err(CommandRefusal::DiskFull { left_mib: left_bytes >> 20 });
    }
    Ok(())
}

async fn receive(builder: &Builder, push: &Arc<Push>, turn: SharePermit, wire: &mut SshChannel) -> u32 {
    let expected = builder.pushes.expect(push);
    let mut git =
        builder.git.command(GitTask::Receive, ["receive-pack".as_ref(), push.repository.as_os_str()]);
    git.command.env(SOCKET_VARIABLE, &builder.control_path).env(TOKEN_VARIABLE, &expected.token);
    let meter = wire.meter();
    let unpacked = async {
        push.received.cancelled().await;
        drop(turn);
        pending::<()>().await;
    };
    let status = tokio::select! {
        status = wire.serve(git, &push.received) => Some(status),
        () = overdue(builder, push) => None,
        () = unpacked => None,
        () = wastes_its_turn(builder, push, &meter) => {
            let reason = "the push arrives too slowly while others wait; try again later";
            wire.complain(&format!("error: {reason}")).await;
            return FAILED;
        }
    };
    let reason = match status {
        Some(status) => {
            if !push.received.is_cancelled()
                && let Some(reason) = why_not_received(builder, push, &wire.last_words()).await
            {
                write_log(
                    &*builder.log_sink,
                    &push.app,
                    "ERROR",
                    &format!("a push of {} was refused: {reason}", push.user),
                );
                wire.complain(&format!("error: {reason}")).await;
            }
            return exit_status(status);
        }
        None if builder.stopping.is_cancelled() => "the platform is stopping; push again when it is back",
        None => "the push took too long to arrive; check the network, then push again",
    };
    wire.complain(&format!("error: {reason}")).await;
    FAILED
}

/// Reason why git rejected the push, where its own output does not explain it.
async fn why_not_received(builder: &Builder, push: &Push, said: &[u8]) -> Option<String> {
    let broken = broken_limit(said, &builder.settings);
    if broken.is_some() || !shallow::lacks_objects(said) || shallow::ends_file(&push.repository).is_none() {
        return broken;
    }
    match shallow::drop_cut_refs(&builder.git, &push.repository).await {
        Ok(()) => Some(shallow::DROPPED.to_owned()),
        Err(error) => {
            tracing::warn!(app = %push.app, %error, "cannot drop what came from a shallow clone");
            None
        }
    }
}

/// Ends when others wait for the turn of a push that brings next to nothing and keeps git waiting.
async fn wastes_its_turn(builder: &Builder, push: &Push, meter: &Meter) {
    let window = builder.settings.turn_idle_max;
    loop {
        let before = meter.reading();
        tokio::time::sleep(window).await;
        if push.received.is_cancelled() {
            return pending().await;
        }
        let (bytes, ticks) = meter.reading();
        let brought = bytes.saturating_sub(before.0) * 1_000;
        // A hundred ticks are a second (`USER_HZ`).
        let worked = ticks.saturating_sub(before.1) * 1_000;
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let is_slow = brought < TURN_BYTES_PER_SECOND_MIN.saturating_mul(window_ms)
            && worked < TURN_WORK_MIN_PERCENT.saturating_mul(window_ms);
        if is_slow && builder.unpacking.others_wait() {
            return;
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
