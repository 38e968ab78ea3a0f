//! Data sources for Grafana.

use std::collections::BTreeSet;

use juju_ops::Scope;
use juju_relations::JsonText;
use juju_relations::grafana_datasource::{SourceAppData, SourceData, SourceUnitData, with_scheme};
use juju_relations::grafana_datasource_exchange::{AppData, Datasource};
use serde::Serialize;

use crate::deployment::Deployment;
use crate::deployment::grafana::{Correlations, Grafana};
use crate::names::Endpoint;
use crate::tempo::{self, TransportProtocol};

use super::DatabagWrite;

/// Grafana's name for the kind of our data source.
const KIND: &str = "tempo";

/// The cluster as one data source for every Grafana, and for the owners of other data sources how the Grafanas know it.
///
/// The units are no data sources of their own. A unit of an earlier revision may have said that it is one, so each
/// withdraws that.
pub(super) fn writes(d: &Deployment) -> Vec<DatabagWrite> {
    let grafanas = d.links.of(Endpoint::GrafanaSource);
    let unit = SourceUnitData::default();
    let units = grafanas.iter().map(|id| DatabagWrite::new(Endpoint::GrafanaSource, *id, Scope::Unit, &unit));
    if !d.identity.leader {
        return units.collect();
    }
    let source = source(d);
    let sources =
        grafanas.iter().map(|id| DatabagWrite::new(Endpoint::GrafanaSource, *id, Scope::App, &source));
    let known_as = known_as(&d.grafana);
    let owners = d.links.of(Endpoint::ReceiveDatasource).iter();
    let exchanges =
        owners.map(|id| DatabagWrite::new(Endpoint::ReceiveDatasource, *id, Scope::App, &known_as));
    units.chain(sources).chain(exchanges).collect()
}

fn source(d: &Deployment) -> SourceAppData {
    let identity = &d.identity;
    let mut data = SourceData::new(&identity.model, &identity.model_uuid, identity.app(), KIND);
    data.extra_fields = Options::of(&d.grafana.correlations).and_then(|options| JsonText::of(&options).ok());
    let url = d.exposure.published().url(TransportProtocol::Http, tempo::HTTP_PORT);
    SourceAppData { data, app_url: Some(with_scheme(&url)) }
}

/// Under which UID each Grafana knows our data source; each once, however many relations tell of it.
fn known_as(grafana: &Grafana) -> AppData {
    let known = grafana
        .grafanas
        .iter()
        .flat_map(|grafana| grafana.datasources.iter().map(|uid| Datasource::new(KIND, uid, &grafana.uid)));
    AppData::new(known.collect::<BTreeSet<_>>())
}

/// What Grafana calls the `jsonData` of a data source of this kind.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a> {
    http_method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_map: Option<ServiceMap<'a>>,
    #[serde(rename = "tracesToLogsV2", skip_serializing_if = "Option::is_none")]
    traces_to_logs: Option<TracesToLogs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traces_to_metrics: Option<TracesToMetrics<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceMap<'a> {
    datasource_uid: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TracesToLogs<'a> {
    datasource_uid: &'a str,
    tags: Vec<Tag>,
    #[serde(rename = "filterByTraceID")]
    filter_by_trace_id: bool,
    #[serde(rename = "filterBySpanID")]
    filter_by_span_id: bool,
    custom_query: bool,
    query: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TracesToMetrics<'a> {
    datasource_uid: &'a str,
    tags: Vec<Tag>,
    queries: [Query; 1],
}

/// An attribute of a span that becomes a label with the name `value`; with an empty one, the same name.
#[derive(Serialize)]
struct Tag {
    key: &'static str,
    value: &'static str,
}

#[derive(Serialize)]
struct Query {
    name: &'static str,
    query: &'static str,
}

/// What a span and the logs of whoever made it have in common.
const TOPOLOGY: [&str; 3] = ["juju_application", "juju_model", "juju_model_uuid"];

impl<'a> Options<'a> {
    /// Nothing if there is nothing to link to.
    fn of(correlations: &'a Correlations) -> Option<Self> {
        let tags = |more: &[&'static str]| {
            TOPOLOGY.iter().chain(more).map(|key| Tag { key, value: "" }).collect::<Vec<_>>()
        };
        let service_map = correlations.service_map.as_deref();
        let logs = correlations.logs.as_deref();
        let metrics = correlations.metrics.as_deref();
        service_map.or(logs).or(metrics)?;
        Some(Self {
            http_method: "GET",
            service_map: service_map.map(|datasource_uid| ServiceMap { datasource_uid }),
            traces_to_logs: logs.map(|datasource_uid| TracesToLogs {
                datasource_uid,
                tags: tags(&[]),
                filter_by_trace_id: false,
                filter_by_span_id: false,
                custom_query: true,
                // A single dollar would be taken for a variable of the process when Grafana reads its files.
                query: r#"{ $$__tags } |= "$${__span.traceId}""#,
            }),
            traces_to_metrics: metrics.map(|datasource_uid| TracesToMetrics {
                datasource_uid,
                tags: tags(&["juju_unit"]),
                queries: [Query { name: "All metrics", query: "{$$__tags}" }],
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(correlations: &Correlations) -> Option<String> {
        Options::of(correlations).map(|options| JsonText::of(&options).unwrap().get().to_owned())
    }

    #[test]
    fn options_are_byte_for_byte_what_they_were() {
        let all =
            Correlations { service_map: Some("P".into()), logs: Some("L".into()), metrics: Some("M".into()) };
        assert_eq!(
            text(&all).unwrap(),
            concat!(
                r#"{"httpMethod": "GET", "serviceMap": {"datasourceUid": "P"}, "#,
                r#""tracesToLogsV2": {"datasourceUid": "L", "tags": [{"key": "juju_application", "value": ""}, "#,
                r#"{"key": "juju_model", "value": ""}, {"key": "juju_model_uuid", "value": ""}], "#,
                r#""filterByTraceID": false, "filterBySpanID": false, "customQuery": true, "#,
                r#""query": "{ $$__tags } |= \"$${__span.traceId}\""}, "#,
                r#""tracesToMetrics": {"datasourceUid": "M", "tags": [{"key": "juju_application", "value": ""}, "#,
                r#"{"key": "juju_model", "value": ""}, {"key": "juju_model_uuid", "value": ""}, "#,
                r#"{"key": "juju_unit", "value": ""}], "queries": [{"name": "All metrics", "query": "{$$__tags}"}]}}"#
            )
        );
        let map = Correlations { service_map: Some("P".into()), ..Correlations::default() };
        assert_eq!(
            text(&map).as_deref(),
            Some(r#"{"httpMethod": "GET", "serviceMap": {"datasourceUid": "P"}}"#)
        );
        assert_eq!(text(&Correlations::default()), None);
    }
}
