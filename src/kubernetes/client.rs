//! Calls to the API, each within its time.

use std::future::Future;
use std::time::Duration;

use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::{Access, Failure};

/// How long connecting, and how long one call with everything that belongs to it, may take.
const CALL: Duration = Duration::from_secs(3);

/// How much of what the API says fits into a status.
const MESSAGE: usize = 300;

/// The kinds of objects that the charm knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The pods' template.
    StatefulSet,
    /// The name in front of all units.
    Service,
    /// Where the charm keeps which labels are its own.
    ConfigMap,
    /// Who may talk to whom in a mesh.
    AuthorizationPolicy,
}

impl Kind {
    /// What every object of this kind says about itself: `apiVersion` and `kind`.
    pub fn head(self) -> Value {
        json!({"apiVersion": self.resource().api_version, "kind": self.name()})
    }

    /// As objects and people name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::StatefulSet => "StatefulSet",
            Self::Service => "Service",
            Self::ConfigMap => "ConfigMap",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
        }
    }

    fn resource(self) -> ApiResource {
        let (group, version, plural) = match self {
            Self::StatefulSet => ("apps", "v1", "statefulsets"),
            Self::Service => ("", "v1", "services"),
            Self::ConfigMap => ("", "v1", "configmaps"),
            Self::AuthorizationPolicy => ("security.istio.io", "v1", "authorizationpolicies"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, self.name()), plural)
    }
}

/// The API, for one part of a hook. Every call is about objects in the pod's own namespace.
pub struct Client {
    kube: kube::Client,
    namespace: String,
    deadline: Instant,
}

impl Client {
    /// A client all of whose calls together take no longer than `time`. Nothing is connected yet.
    ///
    /// # Errors
    /// If the access is not what Kubernetes gives pods: a URL or certificate that is none.
    pub fn new(access: &Access, time: Duration) -> Result<Self, Failure> {
        let odd =
            |what: &str, error: &dyn std::fmt::Display| Failure::Unreachable(format!("{what}: {error}"));
        let mut config = kube::Config::new(access.url.parse().map_err(|error| odd("the URL", &error))?);
        if !access.ca.is_empty() {
            let certificates: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(access.ca.as_bytes()).collect();
            let certificates = certificates.map_err(|error| odd("ca.crt", &error))?;
            config.root_cert = Some(certificates.iter().map(|certificate| certificate.to_vec()).collect());
        }
        config.auth_info.token = Some(access.token.expose().to_owned().into());
        config.connect_timeout = Some(CALL);
        config.read_timeout = Some(CALL);
        config.write_timeout = Some(CALL);
        // There is the next hook for that.
        config.default_retry = false;
        let kube = kube::Client::try_from(config).map_err(|error| odd("the client", &error))?;
        Ok(Self { kube, namespace: access.namespace.clone(), deadline: Instant::now() + time })
    }

    /// The namespace that every call is about.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// One object; `None` if it does not exist, or nobody in this cluster knows its kind.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>, Failure> {
        let api = self.api(kind);
        present(self.call(api.get(name)).await)?.map(value).transpose()
    }

    /// The objects with all of these labels (`key=value,…`); `None` if nobody in this cluster knows their kind.
    pub async fn list(&self, kind: Kind, labels: &str) -> Result<Option<Vec<Value>>, Failure> {
        let api = self.api(kind);
        let listed = self.call(api.list(&ListParams::default().labels(labels))).await;
        present(listed)?.map(|list| list.items.into_iter().map(value).collect()).transpose()
    }

    /// Creates an object, and gives it back.
    pub async fn create(&self, kind: Kind, object: &Value) -> Result<Value, Failure> {
        let object =
            serde_json::from_value(object.clone()).map_err(|error| Failure::Nonsense(error.to_string()))?;
        value(self.call(self.api(kind).create(&PostParams::default(), &object)).await?)
    }

    /// Changes what `patch` names of an object, and gives back the object; a key that is null is removed.
    pub async fn merge(
        &self,
        kind: Kind,
        name: &str,
        manager: &str,
        patch: &Value,
    ) -> Result<Value, Failure> {
        let parameters = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        value(self.call(self.api(kind).patch(name, &parameters, &Patch::Strategic(patch))).await?)
    }

    /// Says how an object should be, as far as `manager` says anything about it, and gives back the object. What the manager
    /// had said before and does not say now is removed. `force`: against other managers too.
    pub async fn apply(
        &self,
        kind: Kind,
        name: &str,
        manager: &str,
        force: bool,
        object: &Value,
    ) -> Result<Value, Failure> {
        let parameters =
            PatchParams { field_manager: Some(manager.to_owned()), force, ..PatchParams::default() };
        value(self.call(self.api(kind).patch(name, &parameters, &Patch::Apply(object))).await?)
    }

    /// Deletes an object. One that does not exist is as good as deleted.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<(), Failure> {
        let api = self.api(kind);
        present(self.call(api.delete(name, &DeleteParams::default())).await).map(drop)
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.kube.clone(), &self.namespace, &kind.resource())
    }

    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        let end = self.deadline.min(Instant::now() + CALL);
        // The library logs failures as errors of its own; what they mean here is said in the status. Boxed, since what it
        // keeps during a call is large, and several are made at once.
        match timeout_at(end, Box::pin(call.with_subscriber(NoSubscriber::new()))).await {
            Ok(answer) => answer.map_err(|error| failure(&error)),
            Err(_) => Err(Failure::Late),
        }
    }
}

/// That something does not exist is an answer too.
fn present<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(there) => Ok(Some(there)),
        Err(Failure::NotFound(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

fn value(object: DynamicObject) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|error| Failure::Nonsense(error.to_string()))
}

fn failure(error: &kube::Error) -> Failure {
    match error {
        kube::Error::Api(status) => {
            let message = short(&status.message);
            match status.code {
                403 => Failure::Denied(message),
                404 => Failure::NotFound(message),
                409 => Failure::Conflict(message),
                code => Failure::Refused { code, message },
            }
        }
        kube::Error::SerdeError(error) => Failure::Nonsense(short(&error.to_string())),
        kube::Error::FromUtf8(_) => Failure::Nonsense("not a text".into()),
        other => {
            // The reason is at the end of the chain; what is before it only says that there was a request.
            let mut cause: &dyn std::error::Error = other;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            if cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut)
            {
                return Failure::Late;
            }
            Failure::Unreachable(short(&cause.to_string()))
        }
    }
}

/// One line that fits into a status.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_says_becomes_one_short_line() {
        assert_eq!(short("a\n  b\t"), "a b");
        assert_eq!(short(&"ä".repeat(MESSAGE + 1)), format!("{}…", "ä".repeat(MESSAGE)));
    }

    #[tokio::test]
    async fn an_access_that_is_none_is_a_failure() {
        let access = |url: &str, ca: &str| Access {
            url: url.into(),
            token: crate::secret::Secret::new("t"),
            ca: ca.into(),
            namespace: "obs".into(),
        };
        assert!(Client::new(&access("http://127.0.0.1:1", ""), CALL).is_ok());
        for (url, ca) in [
            ("no url", ""),
            ("https://127.0.0.1:1", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ] {
            assert!(matches!(Client::new(&access(url, ca), CALL), Err(Failure::Unreachable(_))), "{url}");
        }
        // Nobody listens there.
        let client = Client::new(&access("http://127.0.0.1:1", ""), CALL).unwrap();
        assert!(matches!(client.get(Kind::Service, "tempo").await, Err(Failure::Unreachable(_))));
    }
}
