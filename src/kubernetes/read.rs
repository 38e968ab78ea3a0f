//! Reads the objects of the application.

use futures_util::future::join5;

use super::names::{mesh_record, own_record, policy_labels};
use super::{Access, Client, Failure, Kind, objects};
use crate::snapshot::{Answer, Answers, Identity, LeaderAnswers};

/// Whose objects, and which of them.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// The application, by one of its units.
    pub identity: &'a Identity,
    /// Whether a mesh is related. If none is, one may have been: the record of its labels says so.
    pub mesh: bool,
}

impl Reading<'_> {
    /// What the API says, all of it asked at once.
    pub async fn read(&self, client: &Client) -> Answers {
        let app = self.identity.app();
        let namespace = client.namespace().to_owned();
        let stateful_set = async { read(client.get(Kind::StatefulSet, app).await, objects::stateful_set) };
        if !self.identity.leader {
            return Answers { namespace, stateful_set: stateful_set.await, leader: None };
        }
        let record = async |name: &str| read(client.get(Kind::ConfigMap, name).await, objects::record);
        let (own, mesh) = (own_record(app), mesh_record(app));
        let policies = async || {
            let labels = policy_labels(self.identity).map(|(key, value)| format!("{key}={value}")).join(",");
            let listed = client.list(Kind::AuthorizationPolicy, &labels).await;
            read(listed, |list| list.iter().map(objects::policy).collect())
        };
        let (stateful_set, service, own_labels, mesh_labels, related) = join5(
            stateful_set,
            async { read(client.get(Kind::Service, app).await, objects::labels) },
            record(&own),
            record(&mesh),
            async { if self.mesh { Some(policies().await) } else { None } },
        )
        .await;
        let policies = match (related, &mesh_labels) {
            (None, Ok(Some(_))) => Some(policies().await),
            (related, _) => related,
        };
        let leader = LeaderAnswers { service, own_labels, mesh_labels, policies };
        Answers { namespace, stateful_set, leader: Some(leader) }
    }

    /// The answers where the API could not even be asked.
    pub fn unanswered(&self, access: &Access, failure: &Failure) -> Answers {
        let leader = LeaderAnswers {
            service: Err(failure.clone()),
            own_labels: Err(failure.clone()),
            mesh_labels: Err(failure.clone()),
            policies: None,
        };
        Answers {
            namespace: access.namespace.clone(),
            stateful_set: Err(failure.clone()),
            leader: self.identity.leader.then_some(leader),
        }
    }
}

fn read<V, T>(answer: Answer<V>, view: impl FnOnce(&V) -> T) -> Answer<T> {
    answer.map(|object| object.as_ref().map(view))
}
