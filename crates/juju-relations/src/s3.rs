//! `s3` version 0: a bucket and the credentials for it.
//!
//! Everything is in the **application** databags, written by the leaders. Values are plain text, except where the
//! table says JSON.
//!
//! | databag | key | value |
//! |---|---|---|
//! | requirer's application | `bucket` | wanted name of the bucket |
//! | provider's application | `access-key`, `secret-key` | credentials, required |
//! | | `bucket` | name of the bucket, required; may differ from the wanted one |
//! | | `endpoint` | URL of the service |
//! | | `region` | region |
//! | | `tls-ca-chain` | JSON array of PEM texts |
//! | | `path`, `s3-uri-style`, `storage-class`, `s3-api-version`, `delete-older-than-days` | hints |
//! | | `attributes` | JSON array of texts |
//! | | `data` | JSON object, the provider's memory of the requirer's databag |
//!
//! Plain text is taken as it stands: an access key of digits or a bucket named `null` is no JSON. `access_key`,
//! `secret_key` and `tls_ca_chain` are read as other spellings. Providers of version 1, which share the credentials as
//! a Juju secret, are read as [`Remote::Invalid`] with a reason that says so.
//!
//! ```
//! use juju_relations::{Databag, Wire, s3::ProviderAppData};
//!
//! let bag = Databag::from([("access-key", "12345"), ("secret-key", "s3cr3t"), ("bucket", "tempo-blocks")]);
//! let s3 = ProviderAppData::read(Some(&bag)).ok().expect("complete");
//! assert_eq!(s3.access_key.expose(), "12345");
//! assert_eq!(s3.endpoint, None);
//! ```

use std::collections::BTreeMap;

use juju_ops::{Databag, DatabagError, Encoding, Event, Hook, Relation, RelationId, Remote, ToolError};
use serde::{Deserialize, Serialize};

use crate::{EndpointError, EndpointMeta, EndpointRole, Sensitive, Wire};

/// Name of the interface in a charm's metadata.
pub const INTERFACE: &str = "s3";

/// The requirer's application databag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequirerAppData {
    /// Wanted name of the bucket.
    pub bucket: String,
}

/// The provider's application databag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProviderAppData {
    /// Name of the access key.
    #[serde(alias = "access_key")]
    pub access_key: Sensitive,
    /// The secret that goes with it.
    #[serde(alias = "secret_key")]
    pub secret_key: Sensitive,
    /// Name of the bucket.
    pub bucket: String,
    /// URL of the service.
    pub endpoint: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Certificates to trust the service by, PEM.
    #[serde(alias = "tls_ca_chain")]
    pub tls_ca_chain: Option<Vec<String>>,
    /// Folder inside the bucket.
    pub path: Option<String>,
    /// Where the bucket's name goes in URLs: `host` or `path`.
    pub s3_uri_style: Option<String>,
    /// Storage class of new objects.
    pub storage_class: Option<String>,
    /// Version of the signatures, `2` or `4`.
    pub s3_api_version: Option<String>,
    /// After how many days objects are deleted.
    pub delete_older_than_days: Option<String>,
    /// Extra headers or attributes.
    pub attributes: Option<Vec<String>>,
}

/// Keys that a provider writes before it has anything to say.
const BOOKKEEPING: [&str; 3] = ["data", "lib-version", "version"];

impl RequirerAppData {
    /// The request for a bucket that nobody has named: `relation-<number of the relation>`.
    pub fn unnamed(relation: &RelationId) -> Self {
        Self { bucket: format!("relation-{}", relation.number()) }
    }
}

impl Wire for RequirerAppData {
    const KEYS: &'static [&'static str] = &["bucket"];
    const ENCODING: Encoding = Encoding::Raw;
}

impl ProviderAppData {
    /// The certificates to trust the service by, if there are any.
    pub fn ca_chain(&self) -> Option<&[String]> {
        self.tls_ca_chain.as_deref().filter(|chain| !chain.is_empty())
    }
}

impl Wire for ProviderAppData {
    const KEYS: &'static [&'static str] = &[
        "access-key",
        "secret-key",
        "bucket",
        "endpoint",
        "region",
        "tls-ca-chain",
        "path",
        "s3-uri-style",
        "storage-class",
        "s3-api-version",
        "delete-older-than-days",
        "attributes",
    ];
    const ENCODING: Encoding = Encoding::Raw;

    fn read(bag: Option<&Databag>) -> Remote<Self> {
        let Some(bag) = bag else { return Remote::Absent };
        if bag.is_unwritten() || bag.keys().all(|key| BOOKKEEPING.contains(&key.as_str())) {
            return Remote::Absent;
        }
        let mut bag = bag.clone();
        for key in ["access-key", "secret-key", "tls-ca-chain"] {
            // One spelling is enough; the proper one counts.
            if let Some(value) = bag.remove(&key.replace('-', "_"))
                && !bag.contains_key(key)
            {
                bag.insert(key, value);
            }
        }
        let missing: Vec<&str> = ["access-key", "secret-key", "bucket"]
            .into_iter()
            .filter(|key| !bag.contains_key(*key))
            .collect();
        if !missing.is_empty() {
            let error = DatabagError::new(missing.join(", "), "missing");
            return Remote::Invalid(Self::explain(&bag, &error));
        }
        if bag.get("attributes").is_some_and(|text| serde_json::from_str::<Vec<String>>(text).is_err()) {
            // Nothing depends on them, so they cannot spoil what does.
            bag.remove("attributes");
        }
        // A list that was emptied is sometimes left behind as null.
        if bag.get("tls-ca-chain").is_some_and(|text| text.trim() == "null") {
            bag.remove("tls-ca-chain");
        }
        bag.decode(Self::ENCODING).into()
    }

    fn explain(bag: &Databag, error: &DatabagError) -> String {
        if bag.contains_key("secret-extra") || bag.contains_key("lib-version") {
            format!(
                "{error} (the provider shares credentials as a secret, version 1 of the interface; version 0 is needed)"
            )
        } else {
            error.to_string()
        }
    }
}

/// What an event means for a requirer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequirerEvent {
    /// The provider has published what is needed. Also sent again when nothing has changed.
    CredentialsChanged {
        /// The relation.
        relation: RelationId,
        /// What was published.
        data: Box<ProviderAppData>,
    },
    /// The relation is gone.
    CredentialsGone {
        /// The relation.
        relation: RelationId,
    },
}

/// The meaning of `event` for the requirer behind `endpoint`, given what the provider has written.
pub fn requirer_event(
    event: &Event,
    endpoint: &str,
    published: &Remote<ProviderAppData>,
) -> Option<RequirerEvent> {
    match (event, published) {
        (Event::RelationChanged(of), Remote::Ready(data)) if of.id.endpoint() == endpoint => {
            Some(RequirerEvent::CredentialsChanged { relation: of.id.clone(), data: Box::new(data.clone()) })
        }
        (Event::RelationBroken(of), _) if of.id.endpoint() == endpoint => {
            Some(RequirerEvent::CredentialsGone { relation: of.id.clone() })
        }
        _ => None,
    }
}

/// The side that needs a bucket, in one hook.
#[derive(Clone)]
pub struct S3Requirer {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl S3Requirer {
    /// The requirer behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Requires)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Plans to ask for a bucket, on the leader; other units do nothing. Without a name each relation asks for
    /// [`RequirerAppData::unnamed`].
    pub async fn request(&self, bucket: Option<&str>) -> Result<(), ToolError> {
        if !self.hook.is_leader().await? {
            return Ok(());
        }
        for relation in self.hook.relations(&self.endpoint.name).await? {
            let request = match bucket {
                Some(bucket) => RequirerAppData { bucket: bucket.to_owned() },
                None => RequirerAppData::unnamed(relation.id()),
            };
            relation.set_app(request.changes());
        }
        Ok(())
    }

    /// What the first relation with a known provider has published.
    pub async fn published(&self) -> Result<Remote<ProviderAppData>, ToolError> {
        for relation in self.hook.relations(&self.endpoint.name).await? {
            if relation.app().await?.is_some() {
                return Ok(ProviderAppData::read(relation.remote_app_data().await?.as_ref()));
            }
        }
        Ok(Remote::Absent)
    }

    /// What the hook's event means for this endpoint; `None` if nothing.
    pub async fn event(&self) -> Result<Option<RequirerEvent>, ToolError> {
        let published = match crate::wire::relation_of_event(&self.hook, &self.endpoint).await? {
            Some(relation) => ProviderAppData::read(relation.remote_app_data().await?.as_ref()),
            None => Remote::Absent,
        };
        Ok(requirer_event(self.hook.event(), &self.endpoint.name, &published))
    }
}

/// The side that has buckets, in one hook.
#[derive(Clone)]
pub struct S3Provider {
    hook: Hook,
    endpoint: EndpointMeta,
}

impl S3Provider {
    /// The provider behind an endpoint of the charm's metadata. Asks Juju nothing.
    ///
    /// # Errors
    /// If the endpoint has another interface, or is on the other side.
    pub fn new(hook: &Hook, endpoint: impl Into<EndpointMeta>) -> Result<Self, EndpointError> {
        let endpoint = endpoint.into();
        endpoint.check(INTERFACE, EndpointRole::Provides)?;
        Ok(Self { hook: hook.clone(), endpoint })
    }

    /// Each relation with the bucket that its requirer wants.
    pub async fn requests(&self) -> Result<Vec<(Relation, Remote<RequirerAppData>)>, ToolError> {
        crate::wire::remote_apps(&self.hook, &self.endpoint).await
    }

    /// Plans to answer one relation, with the memory of its request beside it. On units that are not the leader it
    /// does nothing.
    pub async fn publish(&self, relation: &Relation, data: &ProviderAppData) -> Result<(), ToolError> {
        if self.hook.is_leader().await? {
            let request = relation.remote_app_data().await?.unwrap_or_default();
            relation.set_app(data.changes());
            relation.set_app([("data".to_owned(), Some(memory(&request)))]);
        }
        Ok(())
    }
}

/// What a provider keeps of the requirer's databag under `data`: all of it, as one JSON object.
pub fn memory(request: &Databag) -> String {
    let keys: BTreeMap<&String, &String> = request.iter().filter(|(key, _)| *key != "data").collect();
    juju_ops::databag::json_text(&keys).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use juju_ops::RelationEvent;

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIBexample\n-----END CERTIFICATE-----";

    fn complete() -> Databag {
        Databag::from([
            ("access-key", "AKX93"),
            ("secret-key", "s3cr3t/with+chars"),
            ("bucket", "tempo-blocks"),
            ("endpoint", "https://minio.storage.svc.cluster.local:9000"),
            ("region", "eu-west-1"),
            ("tls-ca-chain", r#"["-----BEGIN CERTIFICATE-----\nMIIBexample\n-----END CERTIFICATE-----"]"#),
        ])
    }

    fn read(change: impl FnOnce(&mut Databag)) -> Remote<ProviderAppData> {
        let mut bag = complete();
        change(&mut bag);
        ProviderAppData::read(Some(&bag))
    }

    #[test]
    fn bytes_both_ways() {
        let data = read(|_| ()).ok().unwrap();
        assert_eq!(data.secret_key.expose(), "s3cr3t/with+chars");
        assert_eq!(data.ca_chain(), Some(&[PEM.to_owned()][..]));
        assert_eq!(*data.write(), *complete());
        assert_eq!(
            *RequirerAppData::unnamed(&RelationId::new("s3", 7)).write(),
            *Databag::from([("bucket", "relation-7")])
        );
    }

    #[test]
    fn scalars_are_taken_as_they_stand() {
        for text in ["12345", "1e3", "true", "null", "\"quoted\"", "[]"] {
            let data = read(|bag| {
                for key in ["access-key", "secret-key", "bucket", "endpoint", "region"] {
                    bag.insert(key, text);
                }
            });
            let data = data.ok().unwrap();
            assert_eq!((data.access_key.expose(), data.secret_key.expose()), (text, text));
            assert_eq!(
                (data.bucket.as_str(), data.endpoint.as_deref(), data.region.as_deref()),
                (text, Some(text), Some(text))
            );
        }
    }

    #[test]
    fn other_spellings_are_read_and_the_proper_one_counts() {
        let data = read(|bag| {
            for key in ["access-key", "secret-key", "tls-ca-chain"] {
                let value = bag.remove(key).unwrap();
                bag.insert(key.replace('-', "_"), value);
            }
        });
        assert_eq!(data, read(|_| ()));
        assert_eq!(read(|bag| drop(bag.insert("access_key", "other"))), read(|_| ()));
    }

    #[test]
    fn everything_that_is_missing_is_named() {
        let data = read(|bag| {
            bag.remove("access-key");
            bag.remove("bucket");
        });
        assert_eq!(data, Remote::Invalid("access-key, bucket: missing".into()));
        assert!(read(|bag| drop(bag.remove("endpoint"))).is_ready());
    }

    #[test]
    fn version_1_is_said_to_be_that() {
        let bag = Databag::from([("secret-extra", "secret:d0neu0"), ("lib-version", "0.8"), ("bucket", "b")]);
        assert_eq!(
            ProviderAppData::read(Some(&bag)).reason(),
            Some(
                "access-key, secret-key: missing (the provider shares credentials as a secret, version 1 of the \
                 interface; version 0 is needed)"
            )
        );
    }

    #[test]
    fn only_bookkeeping_is_nothing_yet() {
        let bag = Databag::from([("data", r#"{"bucket": "relation-7"}"#), ("lib-version", "0.8")]);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Absent);
        // What integrators of today write first.
        let bag = Databag::from([("version", "1")]);
        assert_eq!(ProviderAppData::read(Some(&bag)), Remote::Absent);
        assert_eq!(ProviderAppData::read(Some(&Databag::new())), Remote::Absent);
        assert!(read(|bag| drop(bag.insert("data", "{"))).is_ready());
    }

    #[test]
    fn a_bad_chain_spoils_the_databag_and_bad_hints_do_not() {
        let chain = |text: &str| read(|bag| drop(bag.insert("tls-ca-chain", text)));
        assert_eq!(chain(PEM).reason(), Some("tls-ca-chain: not valid JSON"));
        assert_eq!(chain("[1]").reason(), Some("tls-ca-chain: expected a string, found integer"));
        assert_eq!(chain("null").ok().unwrap().ca_chain(), None);
        assert_eq!(chain("[]").ok().unwrap().ca_chain(), None);
        assert_eq!(read(|bag| drop(bag.insert("attributes", "{"))).ok().unwrap().attributes, None);
    }

    #[test]
    fn credentials_are_never_shown() {
        let shown = format!("{:?}", read(|_| ()));
        assert!(!shown.contains("AKX93") && !shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn the_memory_is_one_object() {
        let request = Databag::from([("bucket", "relation-7"), ("data", "{}")]);
        assert_eq!(memory(&request), r#"{"bucket": "relation-7"}"#);
    }

    #[test]
    fn events() {
        let id = RelationId::new("s3", 7);
        let of = RelationEvent { id: id.clone(), remote_app: None, remote_unit: None, departing_unit: None };
        let data = read(|_| ());
        let changed = Event::RelationChanged(of.clone());
        assert!(matches!(
            requirer_event(&changed, "s3", &data),
            Some(RequirerEvent::CredentialsChanged { relation, .. }) if relation == id
        ));
        assert_eq!(requirer_event(&changed, "s3", &Remote::Absent), None);
        assert_eq!(requirer_event(&changed, "other", &data), None);
        assert_eq!(
            requirer_event(&Event::RelationBroken(of), "s3", &data),
            Some(RequirerEvent::CredentialsGone { relation: id })
        );
    }
}
