//! SSH keys of the caller (docs/spec/api.md 4.4). Nobody sees those of others, administrators neither.

use api::keys::{KEY_PATH, KEYS_PATH};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use domain::access::Action::{Delete, Read, Write};
use domain::access::{Resource, needs};
use domain::keys::{KEY_ID_LENGTH_MAX, PUBLIC_KEY_LENGTH_MAX, PublicKey};
use jiff::Timestamp;
use store::{KeyRecord, NewKey, StoreError};

use super::access::Caller;
use super::body::{Fields, RawBody};
use super::error::ApiError;
use super::operation::{Operation, delete, get, post};
use super::paging::{Paging, wire_time};
use crate::Controller;

const ID_TAKEN: &str = "SSH Key with this id already exists.";
const KEY_TAKEN: &str = "Public Key is already in use";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(KEYS_PATH, needs(Read, Resource::Keys), "Lists SSH keys", list).page::<api::keys::Key>(),
        post(KEYS_PATH, needs(Write, Resource::Keys), "Adds an SSH key", add)
            .takes::<api::keys::NewKey>()
            .gives::<api::keys::Key>(201)
            .found_by("id"),
        get(KEY_PATH, needs(Read, Resource::Keys), "Shows an SSH key", info).gives::<api::keys::Key>(200),
        delete(KEY_PATH, needs(Delete, Resource::Keys), "Removes an SSH key", remove),
    ]
}

/// `GET /v2/keys/`.
async fn list(
    State(controller): State<Controller>,
    caller: Caller,
    paging: Paging,
) -> Result<Json<api::Page<api::keys::Key>>, ApiError> {
    let keys = controller.store.keys(caller.name(), paging.page).await?;
    Ok(paging.answer(keys, show))
}

/// `POST /v2/keys/`.
async fn add(
    State(controller): State<Controller>,
    caller: Caller,
    body: RawBody,
) -> Result<(StatusCode, Json<api::keys::Key>), ApiError> {
    let (id, key) = new_key(body.fields()?)?;
    let new = NewKey {
        uuid: uuid::Uuid::new_v4().to_string(),
        owner: caller.name().to_owned(),
        id,
        public: key.as_str().to_owned(),
        blob_sha256: key.blob_sha256(),
        fingerprint: key.fingerprint(),
        now: Timestamp::now(),
    };
    match controller.store.add_key(new).await {
        Ok(key) => Ok((StatusCode::CREATED, Json(show(key)))),
        Err(StoreError::Conflict { what }) if what == "id" => Err(ApiError::field("id", ID_TAKEN)),
        Err(StoreError::Conflict { .. }) => Err(ApiError::field("public", KEY_TAKEN)),
        Err(error) => Err(error.into()),
    }
}

fn new_key(mut fields: Fields) -> Result<(String, PublicKey), ApiError> {
    let id = fields.text("id", KEY_ID_LENGTH_MAX);
    let public = fields.text("public", PUBLIC_KEY_LENGTH_MAX);
    let key = PublicKey::parse(&public);
    if fields.is_fine("public")
        && let Err(wrong) = &key
    {
        fields.complain("public", wrong.to_string());
    }
    fields.finish()?;
    Ok((id, key.map_err(|wrong| ApiError::field("public", wrong.to_string()))?))
}

/// `GET /v2/keys/{id}`.
async fn info(
    State(controller): State<Controller>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<api::keys::Key>, ApiError> {
    let key = controller.store.key(caller.name(), &id).await?;
    key.map(|key| Json(show(key))).ok_or_else(|| ApiError::missing("Key"))
}

/// `DELETE /v2/keys/{id}`.
async fn remove(
    State(controller): State<Controller>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if controller.store.remove_key(caller.name(), &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::missing("Key"))
    }
}

fn show(key: KeyRecord) -> api::keys::Key {
    let KeyRecord { uuid, owner, id, public, fingerprint, created, updated } = key;
    let (created, updated) = (wire_time(created), wire_time(updated));
    api::keys::Key { uuid, owner, created, updated, id, public, fingerprint }
}
