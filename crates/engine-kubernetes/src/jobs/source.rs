//! Sends the source into the pod, to the standard input of its first step.

use std::io;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::failure::{job_error, refused};
use engine::build_steps::SOURCE_END;
use engine::{JobError, SourceStream};

const CHUNK_BYTES: usize = 64 << 10;

/// Sends the source and its end marker.
pub async fn send(
    pods: &Api<Pod>,
    pod: &str,
    container: &str,
    mut source: SourceStream,
) -> Result<(), JobError> {
    let params = AttachParams::default().container(container).stdin(true).stdout(false).stderr(false);
    let mut attached =
        pods.attach(pod, &params).await.map_err(|error| job_error("send the source", error))?;
    let mut input = attached.stdin().ok_or_else(|| refused("send the source: the pod takes no input"))?;
    let sent = async {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = source.read(&mut chunk).await.map_err(|error| ("read the source", error))?;
            if count == 0 {
                break;
            }
            input.write_all(&chunk[..count]).await.map_err(|error| ("send the source", error))?;
        }
        input.write_all(SOURCE_END).await.map_err(|error| ("send the source", error))?;
        input.shutdown().await.map_err(|error| ("send the source", error))
    };
    let sent: Result<(), (&str, io::Error)> = sent.await;
    drop(input);
    match sent {
        // A step that stops reading is not the cause: its exit is.
        Err((_, error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err((what, error)) => Err(refused(format!("{what}: {error}"))),
        Ok(()) => {
            // Ends with the step. The result of the connection adds nothing.
            let _ = attached.join().await;
            Ok(())
        }
    }
}
