//! Server-side apply of what was built, under a field manager of our own, so
//! that what others set on our objects stays theirs.

mod eviction;
mod ownership;

use crate::build::{Desired, MANAGER};
use crate::validate::Database;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};

pub use eviction::{Evicted, Intent, evict};
pub use ownership::{Claim, claim};

/// Why an object was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Someone else's object has the name.
    #[error("{0}")]
    NameTaken(String),
    /// An object that is being deleted has not gone yet.
    #[error("{0}")]
    StillThere(String),
    /// The API server refused it.
    #[error("{kind} {name} is refused: {message}")]
    Refused {
        /// What it is.
        kind: String,
        /// Its name.
        name: String,
        /// The API server's words.
        message: String,
    },
    /// The API server did not answer.
    #[error("the API server failed: {0}")]
    Kube(#[from] kube::Error),
}

/// Applies objects in order.
///
/// # Errors
/// The first object that could not be applied; those before it are.
pub async fn apply(
    client: &Client,
    database: &Database,
    objects: &[Desired],
) -> Result<(), ApplyError> {
    for object in objects {
        check_owner(client, database, object).await?;
        let api = api(client, database, object);
        let parameters = PatchParams::apply(MANAGER).force();
        let applied = api.patch(&object.name, &parameters, &Patch::Apply(&object.body)).await;
        applied.map_err(|error| refused(object, error))?;
    }
    Ok(())
}

/// Creates an object that is made once; there already is fine.
///
/// # Errors
/// See [`ApplyError`].
pub async fn create_once(
    client: &Client,
    database: &Database,
    object: &Desired,
) -> Result<(), ApplyError> {
    let body: DynamicObject = serde_json::from_value(object.body.clone())
        .map_err(|error| ApplyError::Kube(kube::Error::SerdeError(error)))?;
    let parameters =
        PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api(client, database, object).create(&parameters, &body).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            check_owner(client, database, object).await
        }
        Err(error) => Err(refused(object, error)),
    }
}

/// Deletes the very object that was looked at, not its successor; one that is gone or
/// replaced by now is fine.
///
/// # Errors
/// The API server's.
pub async fn delete<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
    grace_seconds: Option<u32>,
) -> Result<(), ApplyError>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let parameters = DeleteParams {
        grace_period_seconds: grace_seconds,
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::background()
    };
    match Api::<K>::namespaced(client.clone(), namespace).delete(name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(ApplyError::Kube(error)),
    }
}

/// Deletes an object of a database by its name, if it is ours.
///
/// # Errors
/// The API server's.
pub async fn remove<K>(api: &Api<K>, database: &Database, name: &str) -> Result<(), ApplyError>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let Some(found) = api.get_metadata_opt(name).await? else { return Ok(()) };
    let Some(uid) = found.metadata.uid.clone() else { return Ok(()) };
    if claim(database, &found.metadata) != Claim::Ours {
        return Ok(());
    }
    delete::<K>(&api.clone().into_client(), &database.namespace, name, &uid, None).await
}

/// Objects outlive a DougCluster deleted with `--cascade=orphan`; applied again,
/// it takes those back that nobody else owns.
async fn check_owner(
    client: &Client,
    database: &Database,
    object: &Desired,
) -> Result<(), ApplyError> {
    let found = api(client, database, object).get_metadata_opt(&object.name).await?;
    let Some(found) = found else { return Ok(()) };
    let kind = &object.resource.kind;
    match claim(database, &found.metadata) {
        Claim::Ours => Ok(()),
        Claim::Foreign(owner) => Err(ApplyError::NameTaken(format!(
            "{kind} {} exists and belongs to {owner}: it is left alone. Delete or rename it, or \
             give this DougCluster another name",
            object.name
        ))),
        Claim::Ending => Err(ApplyError::StillThere(format!(
            "{kind} {} is being deleted: it is made again once it is gone",
            object.name
        ))),
        Claim::Leaving => Err(ApplyError::StillThere(format!(
            "{kind} {} of the deleted DougCluster of this name is being deleted: waiting until it \
             is gone",
            object.name
        ))),
    }
}

fn api(client: &Client, database: &Database, object: &Desired) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &database.namespace, &object.resource)
}

fn refused(object: &Desired, error: kube::Error) -> ApplyError {
    match error {
        kube::Error::Api(status)
            if (400..500).contains(&status.code) && ![409, 429].contains(&status.code) =>
        {
            ApplyError::Refused {
                kind: object.resource.kind.clone(),
                name: object.name.clone(),
                message: status.message,
            }
        }
        other => ApplyError::Kube(other),
    }
}
