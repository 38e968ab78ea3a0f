"""Prometheus, Loki and Grafana know the cluster."""

from __future__ import annotations

import base64
import json
import urllib.parse
from typing import Any

import pytest
from cluster import CA, TEMPO, WORKER, Cluster
from helpers import Endpoint, request, until

pytestmark = pytest.mark.cluster

PROMETHEUS, LOKI, GRAFANA = "prometheus", "loki", "grafana"
LONELY = "lonely"


def ask(where: Endpoint, path: str, headers: dict[str, str] | None = None) -> Any:
    """What an API answers, decoded; `None` for any answer but 200."""
    code, body = request(where, path, headers=headers)
    return json.loads(body) if code == 200 else None


@pytest.fixture(scope="module", autouse=True)
def stack(cluster: Cluster) -> None:
    cluster.deploy_monolith()
    for name in (PROMETHEUS, LOKI, GRAFANA):
        cluster.deploy(f"{name}-k8s", name)
    cluster.juju.integrate(f"{TEMPO}:metrics-endpoint", f"{PROMETHEUS}:metrics-endpoint")
    cluster.juju.integrate(f"{TEMPO}:send-remote-write", f"{PROMETHEUS}:receive-remote-write")
    cluster.juju.integrate(f"{TEMPO}:logging", f"{LOKI}:logging")
    cluster.juju.integrate(f"{TEMPO}:grafana-dashboard", f"{GRAFANA}:grafana-dashboard")
    cluster.juju.integrate(f"{TEMPO}:grafana-source", f"{GRAFANA}:grafana-source")
    # For links from traces to metrics and logs: all three know the same Grafana, and the other two tell the cluster of themselves.
    for name in (PROMETHEUS, LOKI):
        cluster.juju.integrate(f"{name}:grafana-source", f"{GRAFANA}:grafana-source")
        cluster.juju.integrate(f"{name}:send-datasource", f"{TEMPO}:receive-datasource")
    cluster.active(TEMPO, WORKER, PROMETHEUS, LOKI, GRAFANA)


def test_prometheus_scrapes_coordinator_and_workers(cluster: Cluster) -> None:
    where = Endpoint(cluster.addresses(PROMETHEUS)[0], 9090)

    def up() -> bool:
        answer = ask(where, "/api/v1/targets?state=active")
        targets = answer["data"]["activeTargets"] if answer else []
        health = {(target["labels"].get("juju_application"), target["health"]) for target in targets}
        return {(TEMPO, "up"), (WORKER, "up")} <= health

    assert until(up, "targets of the cluster that are up", 300, interval=5)


def test_prometheus_has_rules_and_none_of_them_fires(cluster: Cluster) -> None:
    where = Endpoint(cluster.addresses(PROMETHEUS)[0], 9090)

    def rules() -> list[Any] | None:
        answer = ask(where, "/api/v1/rules?type=alert")
        groups = answer["data"]["groups"] if answer else []
        return [rule for group in groups for rule in group["rules"] if rule["labels"].get("juju_application") in (TEMPO, WORKER)]

    found = until(rules, "alert rules of the cluster", 300, interval=5)
    assert found is not None
    assert [rule["name"] for rule in found if rule["state"] == "firing"] == []


def test_metrics_that_are_made_from_spans_arrive(cluster: Cluster) -> None:
    where = Endpoint(cluster.addresses(PROMETHEUS)[0], 9090)

    def made() -> bool:
        cluster.deliver(["otlp_http"])
        answer = ask(where, f"/api/v1/query?query={urllib.parse.quote('traces_spanmetrics_calls_total')}")
        return bool(answer and answer["data"]["result"])

    assert until(made, "metrics from spans", 300, interval=10)


def test_loki_has_lines_of_coordinator_and_workers(cluster: Cluster) -> None:
    where = Endpoint(cluster.addresses(LOKI)[0], 3100)

    def applications() -> bool:
        answer = ask(where, "/loki/api/v1/label/juju_application/values")
        return bool(answer) and {TEMPO, WORKER} <= set(answer.get("data") or [])

    assert until(applications, "log lines of the cluster", 300, interval=5)


@pytest.fixture(scope="module")
def login(cluster: Cluster) -> dict[str, str]:
    """The header that lets one into Grafana."""
    password = cluster.action(f"{GRAFANA}/0", "get-admin-password")["admin-password"]
    return {"Authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()}


def test_grafana_has_the_dashboards(cluster: Cluster, login: dict[str, str]) -> None:
    where = Endpoint(cluster.addresses(GRAFANA)[0], 3000)

    def known() -> bool:
        boards = ask(where, "/api/search?type=dash-db&query=Tempo", login) or []
        return len(boards) >= 6

    assert until(known, "six dashboards", 300, interval=5)


def test_grafana_leads_from_traces_to_metrics_and_logs(cluster: Cluster, login: dict[str, str]) -> None:
    where = Endpoint(cluster.addresses(GRAFANA)[0], 3000)

    def linked() -> bool:
        sources = ask(where, "/api/datasources", login) or []
        links = [source["jsonData"] for source in sources if source["type"] == "tempo"]
        wanted = {"serviceMap", "tracesToLogsV2", "tracesToMetrics"}
        return len(links) == 1 and wanted <= set(links[0])

    assert until(linked, "one data source with all links", 300, interval=5)


def test_a_coordinator_without_a_cluster_has_rules_too(cluster: Cluster) -> None:
    cluster.deploy_coordinator(app=LONELY)
    cluster.blocked(LONELY)
    cluster.juju.integrate(f"{LONELY}:metrics-endpoint", f"{PROMETHEUS}:metrics-endpoint")
    where = Endpoint(cluster.addresses(PROMETHEUS)[0], 9090)

    def known() -> bool:
        answer = ask(where, "/api/v1/rules?type=alert")
        groups = answer["data"]["groups"] if answer else []
        return any(rule["labels"].get("juju_application") == LONELY for group in groups for rule in group["rules"])

    assert until(known, f"rules of {LONELY}", 300, interval=5)


def test_with_tls_everything_is_still_scraped(cluster: Cluster) -> None:
    cluster.encrypt(waiting_for=(TEMPO, WORKER, PROMETHEUS))
    cluster.juju.integrate(f"{PROMETHEUS}:receive-ca-cert", f"{CA}:send-ca-cert")
    cluster.active(TEMPO, WORKER, PROMETHEUS, CA)
    where = Endpoint(cluster.addresses(PROMETHEUS)[0], 9090)

    def up() -> bool:
        answer = ask(where, "/api/v1/targets?state=active")
        targets = answer["data"]["activeTargets"] if answer else []
        own = [target for target in targets if target["labels"].get("juju_application") in (TEMPO, WORKER)]
        return bool(own) and all(target["health"] == "up" and target["scrapeUrl"].startswith("https://") for target in own)

    assert until(up, "encrypted targets that are up", 300, interval=5)
