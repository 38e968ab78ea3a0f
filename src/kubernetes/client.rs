//! Calls to the API, each within its time.

use std::time::Duration;

use http::Request;
use kube::core::params::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::request::{Error as RequestError, Request as Requests};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Resource as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument as _, info_span};

use super::connection::{Answer, Connection};
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
    connection: Connection,
    namespace: String,
    deadline: Instant,
}

impl Client {
    /// A client all of whose calls together take no longer than `time`. Nothing is connected yet.
    ///
    /// # Errors
    /// If the access is not what Kubernetes gives pods: a URL or certificate that is none.
    pub fn new(access: &Access, time: Duration) -> Result<Self, Failure> {
        let connection = Connection::new(access).map_err(Failure::Unreachable)?;
        Ok(Self { connection, namespace: access.namespace.clone(), deadline: Instant::now() + time })
    }

    /// The namespace that every call is about.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// One object; `None` if it does not exist, or nobody in this cluster knows its kind.
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Option<Value>, Failure> {
        present(self.call(self.requests(kind).get(name, &GetParams::default())).await)
    }

    /// The objects with all of these labels (`key=value,…`); `None` if nobody in this cluster knows their kind.
    pub async fn list(&self, kind: Kind, labels: &str) -> Result<Option<Vec<Value>>, Failure> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            items: Vec<Value>,
        }
        let listed = self.call(self.requests(kind).list(&ListParams::default().labels(labels))).await;
        let list = present(listed)?.map(List::deserialize).transpose();
        Ok(list.map_err(|error| Failure::Nonsense(short(&error.to_string())))?.map(|list| list.items))
    }

    /// Creates an object, and gives it back.
    pub async fn create(&self, kind: Kind, object: &Value) -> Result<Value, Failure> {
        let text = serde_json::to_vec(object).map_err(|error| Failure::Nonsense(error.to_string()))?;
        self.call(self.requests(kind).create(&PostParams::default(), text)).await
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
        self.call(self.requests(kind).patch(name, &parameters, &Patch::Strategic(patch))).await
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
        self.call(self.requests(kind).patch(name, &parameters, &Patch::Apply(object))).await
    }

    /// Deletes an object. One that does not exist is as good as deleted.
    pub async fn delete(&self, kind: Kind, name: &str) -> Result<(), Failure> {
        present(self.call(self.requests(kind).delete(name, &DeleteParams::default())).await).map(drop)
    }

    fn requests(&self, kind: Kind) -> Requests {
        Requests::new(DynamicObject::url_path(&kind.resource(), Some(&self.namespace)))
    }

    async fn call(&self, request: Result<Request<Vec<u8>>, RequestError>) -> Result<Value, Failure> {
        let request = request.map_err(|error| Failure::Nonsense(short(&error.to_string())))?;
        let span = info_span!(
            "kubernetes-call",
            otel.name = %format_args!("{} {}", request.method(), request.uri().path()),
            otel.kind = "client",
            otel.status_code = Empty,
            http.response.status_code = Empty,
        );
        let answer = self.send(request).instrument(span.clone()).await;
        match &answer {
            Ok(answer) => drop(span.record("http.response.status_code", answer.status)),
            Err(_) => drop(span.record("otel.status_code", "ERROR")),
        }
        meaning(&answer?)
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<Answer, Failure> {
        // Boxed, since what a call keeps is large, and several are made at once.
        let sent = Box::pin(self.connection.send(request, CALL));
        match timeout_at(self.deadline, sent).await {
            Ok(answer) => answer.map_err(|failure| match failure {
                Failure::Unreachable(reason) => Failure::Unreachable(short(&reason)),
                other => other,
            }),
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

/// An object, or what the API says instead.
fn meaning(Answer { status, body }: &Answer) -> Result<Value, Failure> {
    /// What a refusal is told with.
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    if *status < 400 {
        let object: Result<Value, _> = serde_json::from_slice(body);
        return match object {
            Ok(object @ Value::Object(_)) => Ok(object),
            Ok(_) => Err(Failure::Nonsense("not an object".into())),
            Err(error) => Err(Failure::Nonsense(short(&error.to_string()))),
        };
    }
    // Something in front of the API may answer in its place, with a text.
    let message = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => short(&refusal.message),
        Err(_) => short(&String::from_utf8_lossy(body)),
    };
    Err(match status {
        403 => Failure::Denied(message),
        404 => Failure::NotFound(message),
        409 => Failure::Conflict(message),
        code => Failure::Refused { code: *code, message },
    })
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
