//! The builder's side of the git hook: a socket that only our own user can reach.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};

use crate::hook::{HookRequest, MESSAGE_BYTES_MAX};
use crate::host_keys::make_private_folder;
use crate::pusher::Pusher;
use crate::pushes::Push;
use crate::{Builder, BuilderError, build};

/// Longest wait for the hook's one line.
const QUESTION_MAX: Duration = Duration::from_secs(10);
/// Longest path that the kernel takes for a socket, with some room.
const SOCKET_PATH_MAX: usize = 100;

/// The bound socket and what must live as long.
pub(crate) struct Control {
    listener: UnixListener,
    pub path: PathBuf,
    _elsewhere: Option<tempfile::TempDir>,
}

/// Binds the socket in a private folder under `data_dir`, or elsewhere where that path is too long for a socket.
pub(crate) fn bind(data_dir: &Path) -> Result<Control, BuilderError> {
    let folder = data_dir.join("control");
    let cannot = |path: &Path, source| BuilderError::Prepare { path: path.to_owned(), source };
    let mut elsewhere = None;
    let path = if folder.as_os_str().len() + "/socket".len() <= SOCKET_PATH_MAX {
        make_private_folder(&folder)?;
        folder.join("socket")
    } else {
        let folder = tempfile::tempdir().map_err(|source| cannot(&folder, source))?;
        let path = folder.path().join("socket");
        elsewhere = Some(folder);
        path
    };
    // An orphan of a builder that was killed.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(|source| cannot(&path, source))?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, private).map_err(|source| cannot(&path, source))?;
    Ok(Control { listener, path, _elsewhere: elsewhere })
}

/// Answers hooks until dropped.
pub(crate) async fn serve(builder: Arc<Builder>, control: Control) {
    loop {
        match control.listener.accept().await {
            Ok((stream, _)) => {
                let task = answer(Arc::clone(&builder), stream);
                builder.work.spawn(task);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take the call of a git hook");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// One hook: finds its push, has it built, says how it ended.
async fn answer(builder: Arc<Builder>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let Ok(Some((question, push))) = tokio::time::timeout(QUESTION_MAX, asked(&builder, read)).await else {
        tracing::warn!("a caller on the control socket belongs to no push");
        return;
    };
    push.received.cancel();
    let mut pusher = Pusher::new(write, Arc::clone(&builder.log_sink), push.app.clone());
    let ended = build::run(&builder, &push, &question, &mut pusher).await;
    if let Err(stop) = &ended {
        pusher.fail(&stop.to_string()).await;
    }
    push.accepted.store(ended.is_ok(), Ordering::Relaxed);
    pusher.end(ended.is_ok()).await;
}

async fn asked(builder: &Builder, read: OwnedReadHalf) -> Option<(HookRequest, Arc<Push>)> {
    let mut line = Vec::new();
    BufReader::new(read).take(MESSAGE_BYTES_MAX).read_until(b'\n', &mut line).await.ok()?;
    let question: HookRequest = serde_json::from_slice(&line).ok()?;
    let push = builder.pushes.take(&question.token)?;
    Some((question, push))
}
