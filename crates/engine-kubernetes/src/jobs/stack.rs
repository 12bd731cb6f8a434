//! The stack image in the platform's registry: slug images stand on its layers, so they must be there, and
//! uncompressed, since a slug's manifest names them by what they unpack to.
//!
//! A stack that lies elsewhere, or was pushed by a tool that compresses, is taken over once.

use std::io::{self, Read as _};

use bytes::Bytes;
use domain::image_reference::ImageReference;
use domain::registry_access::STACK_REPOSITORY;
use domain::slug_image::{Layer, MANIFEST_MEDIA_TYPE, Stack};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::KubernetesJobs;
use super::failure::refused;
use crate::images::engine_error;
use engine::JobError;
use engine::origin::image_manifest;
use oci::{
    Access, BlobStream, DOCUMENT_BYTES_MAX, Descriptor, Manifest, OciError, Repository, gzip_layer_type,
    media_type,
};

const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_IN_FLIGHT_MAX: usize = 4;

/// Location of the stack in the platform's registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackImage {
    pub repository: String,
    /// Tag or digest.
    pub version: String,
}

impl KubernetesJobs {
    /// Finds the stack, and copies it first if need be, one caller at a time.
    pub(super) async fn stack_image(&self) -> Result<StackImage, JobError> {
        let known = self.stack.lock().await.clone();
        if let Some(stack) = known {
            let own = self.settings.registry.repository(&self.transport, &stack.repository, Access::Pull);
            let is_there = own.has_manifest(&stack.version).await;
            let failed = |error| JobError::Engine(engine_error("look for the stack in the registry", error));
            // A registry that lost its volume starts empty.
            if is_there.map_err(failed)? {
                return Ok(stack);
            }
        }
        let mut known = self.stack.lock().await;
        let stack = self.find_stack().await?;
        *known = Some(stack.clone());
        Ok(stack)
    }

    async fn find_stack(&self) -> Result<StackImage, JobError> {
        let text = &self.settings.stack_image;
        let reference = ImageReference::parse(text)
            .map_err(|error| refused(format!("stack image reference `{text}` is not valid: {error}")))?;
        let version = reference.digest.as_ref().map(ToString::to_string).or(reference.tag.clone());
        let version = version.unwrap_or_default();
        let failed =
            |error| JobError::Engine(engine_error(&format!("look for the stack image {text}"), error));

        let own_name = self.settings.registry.own_repository(&reference).unwrap_or(STACK_REPOSITORY);
        let own = self.settings.registry.repository(&self.transport, own_name, Access::Pull);
        let (origin, manifest) = match image_manifest(&own, &version).await {
            Ok(manifest) => (own, manifest),
            Err(OciError::NotFound { .. }) => {
                let origin = self.stack_origin(&reference);
                let manifest = image_manifest(&origin, &version).await.map_err(failed)?;
                (origin, manifest)
            }
            Err(error) => return Err(failed(error)),
        };
        let config = manifest.content.config.as_ref();
        let config = config.ok_or_else(|| refused(format!("stack image {text}: it has no config")))?;
        let config = origin.blob(&config.digest, DOCUMENT_BYTES_MAX).await.map_err(failed)?;
        let stack = Stack::from_config(&config).map_err(|error| refused(format!("{text}: {error}")))?;
        if origin.name().ends_with(own_name) && is_plain(&manifest, &stack) {
            return Ok(StackImage { repository: own_name.to_owned(), version });
        }
        self.take_over(&origin, &manifest, config, &stack).await.map_err(failed)
    }

    fn stack_origin(&self, reference: &ImageReference) -> Repository {
        let registry = &self.settings.registry;
        if let Some(own) = registry.own_repository(reference) {
            return registry.repository(&self.transport, own, Access::Pull);
        }
        Repository::new(
            &self.transport,
            &registry.base_of(&reference.host),
            &reference.path,
            None,
            Access::Pull,
        )
    }

    /// Copies the stack, its layers uncompressed.
    async fn take_over(
        &self,
        origin: &Repository,
        manifest: &Manifest,
        config: Bytes,
        stack: &Stack,
    ) -> Result<StackImage, OciError> {
        let to = self.settings.registry.repository(&self.transport, STACK_REPOSITORY, Access::Push);
        let version = format!("stack-{}", domain::Digest::of(&config).hex());
        let taken = StackImage { repository: STACK_REPOSITORY.to_owned(), version };
        if to.has_manifest(&taken.version).await? {
            return Ok(taken);
        }
        tracing::info!(stack = self.settings.stack_image, "taking the stack image over into the registry");
        for (layer, source) in stack.layers.iter().zip(&manifest.content.layers) {
            if !to.has_blob(&layer.digest).await? {
                let content = origin.blob_stream(source).await?;
                let content = if gzip_layer_type(&source.media_type) { unzipped(content) } else { content };
                to.push_blob(&layer.digest, layer.size_bytes, content).await?;
            }
        }
        let config_bytes = config.len() as u64;
        let config_digest = to.push_bytes(config).await?;
        let plain = json!({
            "schemaVersion": 2, "mediaType": MANIFEST_MEDIA_TYPE,
            "config": Descriptor::new(media_type::CONFIG, config_digest, config_bytes),
            "layers": stack.layers.iter().map(described).collect::<Vec<_>>(),
        });
        to.put_manifest(&taken.version, MANIFEST_MEDIA_TYPE, Bytes::from(plain.to_string())).await?;
        Ok(taken)
    }
}

/// Returns true if the manifest names the layers by their uncompressed digests.
fn is_plain(manifest: &Manifest, stack: &Stack) -> bool {
    let named = manifest.content.layers.iter().map(|layer| &layer.digest);
    manifest.media_type == MANIFEST_MEDIA_TYPE && named.eq(stack.layers.iter().map(|layer| &layer.digest))
}

fn described(layer: &Layer) -> Descriptor {
    Descriptor::new(media_type::LAYER, layer.digest.clone(), layer.size_bytes)
}

/// Unpacks gzip in passing.
fn unzipped(content: BlobStream) -> BlobStream {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS_IN_FLIGHT_MAX);
    let reader = SyncIoBridge::new(StreamReader::new(content.map_err(io::Error::other)));
    tokio::task::spawn_blocking(move || {
        let mut plain = flate2::read::MultiGzDecoder::new(reader);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let part = match plain.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => Ok(Bytes::copy_from_slice(&chunk[..count])),
                Err(error) => Err(error),
            };
            let is_last = part.is_err();
            if sender.blocking_send(part).is_err() || is_last {
                return;
            }
        }
    });
    ReceiverStream::new(receiver).boxed()
}
