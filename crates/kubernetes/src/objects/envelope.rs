//! What all objects have in JSON, and what a watch needs of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::api::ObjectMeta;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};

use super::labels::Interned;
use super::{Sight, Stamp};
use crate::world::{Kind, Seen};

/// A kind of which something is kept.
pub(crate) trait Kept: Clone + fmt::Debug + PartialEq + Send + Sync + 'static {
    /// Its JSON, as far as it is read.
    type Wire: DeserializeOwned;
    /// How it is found again.
    type Key: Ord + Clone + fmt::Debug + Send;

    const GROUP: &'static str;
    const VERSION: &'static str;
    const KIND: &'static str;
    const PLURAL: &'static str;
    const WHAT: Kind;

    /// Keeps what is read. `Err` never: what is not understood is kept as such, so that one odd object does not blind
    /// a watch for all others.
    fn keep(wire: Self::Wire) -> (Meta, Self);

    fn key(namespace: &Arc<str>, name: &Arc<str>) -> Self::Key;

    fn namespace_of(key: &Self::Key) -> Option<&Arc<str>>;

    /// Where those that are kept are.
    fn slots(seen: &mut Seen) -> &mut BTreeMap<Self::Key, Arc<Self>>;

    /// Shares what many have alike.
    fn share(&mut self, _interned: &mut Interned) {}

    /// Joins what was just read with what was known before.
    #[must_use]
    fn settled(self, _before: Option<&Self>, _sight: Sight) -> Self {
        self
    }
}

/// `metadata`, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) namespace: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) uid: Arc<str>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) resource_version: Arc<str>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) generation: i64,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    deletion_grace_period_seconds: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    owner_references: Vec<Owner>,
    #[serde(default, deserialize_with = "or_default")]
    managed_fields: Vec<Managed>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Owner {
    #[serde(default, deserialize_with = "or_default")]
    api_version: String,
    #[serde(default, deserialize_with = "or_default")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    uid: Arc<str>,
}

#[derive(Debug, Deserialize)]
struct Managed {
    #[serde(default, deserialize_with = "or_default")]
    manager: Arc<str>,
    time: Option<String>,
    #[serde(rename = "fieldsV1", default, deserialize_with = "or_default")]
    fields: Fields,
}

#[derive(Debug, Default, Deserialize)]
struct Fields {
    #[serde(rename = "f:spec", default, deserialize_with = "or_default")]
    spec: SpecFields,
}

#[derive(Debug, Default, Deserialize)]
struct SpecFields {
    #[serde(rename = "f:replicas")]
    replicas: Option<serde::de::IgnoredAny>,
}

impl Meta {
    pub(crate) fn created(&self) -> Stamp {
        Stamp::said(self.creation_timestamp.as_deref())
    }

    /// Since when it is being deleted: the API gives the end of the grace.
    pub(crate) fn leaving_since(&self) -> Option<Stamp> {
        let end = self.deletion_timestamp.as_deref()?;
        Some(Stamp::said(Some(end)).minus(self.deletion_grace_period_seconds.unwrap_or_default()))
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The UID of its owner of this kind, and of a group that begins so.
    pub(crate) fn owned_by(&self, kind: &str, group: &str) -> Option<Arc<str>> {
        let mut owners = self.owner_references.iter();
        owners
            .find(|owner| owner.kind == kind && owner.api_version.starts_with(group))
            .map(|owner| Arc::clone(&owner.uid))
    }

    /// Who wrote `spec.replicas` last, and when.
    pub(crate) fn replicas_by(&self) -> Option<(Arc<str>, units::Moment)> {
        let writers = self.managed_fields.iter().filter(|managed| managed.fields.spec.replicas.is_some());
        let newest = writers.max_by_key(|managed| Stamp::said(managed.time.as_deref()))?;
        Some((Arc::clone(&newest.manager), Stamp::said(newest.time.as_deref()).moment))
    }
}

/// An object as a watch hands it over.
#[derive(Clone, Debug)]
pub(crate) struct Watched<K> {
    /// Name, namespace and version only.
    meta: ObjectMeta,
    pub(crate) name: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) kept: K,
}

impl<'de, K: Kept> Deserialize<'de> for Watched<K> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let (read, kept) = K::keep(K::Wire::deserialize(json)?);
        let meta = ObjectMeta {
            name: Some(read.name.clone()),
            namespace: Some(read.namespace.clone()),
            resource_version: Some(read.resource_version.to_string()),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, name: read.name.into(), namespace: read.namespace.into(), kept })
    }
}

impl<K: Kept> kube::Resource for Watched<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        K::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// What Go leaves out of JSON it also writes as `null` now and then.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(json: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(json)?.unwrap_or_default())
}

/// A number of the API as a port.
pub(crate) fn port(number: Option<i64>) -> Option<u16> {
    number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0)
}
