//! Grafanas, and the data sources that they have beside ours.

use std::collections::BTreeSet;

use juju_ops::Remote;
use juju_relations::Wire;
use juju_relations::grafana_dashboard::RequirerAppData;
use juju_relations::grafana_datasource::GrafanaAppData;
use juju_relations::grafana_datasource_exchange::{AppData, Datasource};

use crate::names::Endpoint;
use crate::snapshot::{RelationSnapshot, Snapshot};

use super::{Findings, key_and_reason, sorted};

/// What Grafanas and the owners of other data sources have told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grafana {
    /// The Grafanas that have said which they are, by relation.
    pub grafanas: Vec<KnownGrafana>,
    /// The data sources that Grafana can link ours to.
    pub correlations: Correlations,
}

/// A Grafana that has said which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGrafana {
    /// Its UID.
    pub uid: String,
    /// The UIDs under which it knows our data source. One for the application; older ones have one for each unit.
    pub datasources: BTreeSet<String>,
}

/// UIDs of other applications' data sources in a Grafana that has ours too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correlations {
    /// The Prometheus that our metrics generator writes to: it has the metrics of the service graph.
    pub service_map: Option<String>,
    /// A Loki, for the logs about a span.
    pub logs: Option<String>,
    /// A Prometheus, for the metrics about a span.
    pub metrics: Option<String>,
}

/// Another application with its data sources, in the order of its list.
struct Owner<'a> {
    app: &'a str,
    datasources: Vec<Datasource>,
}

/// What is usable of it.
pub(super) fn grafana(snapshot: &Snapshot, findings: &mut Findings) -> Grafana {
    let related = |endpoint| sorted(snapshot.relations(endpoint));
    let sources = related(Endpoint::GrafanaSource);
    let grafanas: Vec<_> = sources.iter().filter_map(|relation| known(relation, findings)).collect();
    let others = related(Endpoint::ReceiveDatasource);
    let owners: Vec<_> = others.iter().filter_map(|relation| owner(relation, findings)).collect();
    let written_to = related(Endpoint::SendRemoteWrite);
    let written_to: BTreeSet<&str> =
        written_to.iter().filter_map(|relation| relation.remote_app.as_deref()).collect();

    let first = |kind: &str, of: &dyn Fn(&Owner) -> bool| {
        let mut datasources = owners.iter().filter(|owner| of(owner)).flat_map(|owner| &owner.datasources);
        // A link leads only to a data source of the same Grafana.
        let usable = datasources.find(|datasource| {
            datasource.kind == kind && grafanas.iter().any(|grafana| grafana.uid == datasource.grafana_uid)
        });
        usable.map(|datasource| datasource.uid.clone())
    };
    let correlations = Correlations {
        service_map: first("prometheus", &|owner| written_to.contains(owner.app)),
        logs: first("loki", &|_| true),
        metrics: first("prometheus", &|_| true),
    };
    Grafana { grafanas, correlations }
}

/// Names the dashboards that a Grafana refuses. There is nothing else to learn from what it says of them.
pub(super) fn dashboards(snapshot: &Snapshot, findings: &mut Findings) {
    let mut wrong = |id: u32, problem: &str| {
        let (key, reason) = key_and_reason(problem);
        findings.app(Endpoint::GrafanaDashboard, id, key, reason);
    };
    for relation in sorted(snapshot.relations(Endpoint::GrafanaDashboard)) {
        match RequirerAppData::read(relation.remote_app_data.as_ref()) {
            Remote::Absent | Remote::Denied => {}
            Remote::Invalid(reason) => wrong(relation.id, &reason),
            Remote::Ready(data) => {
                data.problems.iter().for_each(|problem| wrong(relation.id, problem));
                // One for all: whoever wrote them may have written thousands.
                let mut complaints = data.verdict.complaints();
                let Some(first) = complaints.next() else { continue };
                let more = match complaints.count() {
                    0 => String::new(),
                    more => format!(" (and {more} more)"),
                };
                wrong(relation.id, &format!("event: {first}{more}"));
            }
        }
    }
}

fn known(relation: &RelationSnapshot, findings: &mut Findings) -> Option<KnownGrafana> {
    let mut wrong = |problem: &str| {
        let (key, reason) = key_and_reason(problem);
        findings.app(Endpoint::GrafanaSource, relation.id, key, reason);
    };
    match GrafanaAppData::read(relation.remote_app_data.as_ref()) {
        Remote::Absent | Remote::Denied => None,
        Remote::Invalid(reason) => {
            wrong(&reason);
            None
        }
        Remote::Ready(data) => {
            data.problems.iter().for_each(|problem| wrong(problem));
            let datasources = data.uids().into_iter().map(str::to_owned).collect();
            Some(KnownGrafana { uid: data.grafana_uid, datasources })
        }
    }
}

fn owner<'a>(relation: &'a RelationSnapshot, findings: &mut Findings) -> Option<Owner<'a>> {
    let app = relation.remote_app.as_deref()?;
    let mut wrong = |problem: &str| {
        let (key, reason) = key_and_reason(problem);
        findings.app(Endpoint::ReceiveDatasource, relation.id, key, reason);
    };
    match AppData::read(relation.remote_app_data.as_ref()) {
        Remote::Absent | Remote::Denied => None,
        Remote::Invalid(reason) => {
            wrong(&reason);
            None
        }
        Remote::Ready(data) => {
            data.problems.iter().for_each(|problem| wrong(problem));
            Some(Owner { app, datasources: data.datasources })
        }
    }
}
