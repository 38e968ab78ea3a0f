"""One worker with every role, and three units of the coordinator."""

from __future__ import annotations

import pytest
from cluster import ALL_PROTOCOLS, STORE, TEMPO, WORKER, Cluster
from helpers import PORTS, Endpoint, application, is_open, leader, open_ports, units

pytestmark = pytest.mark.cluster


def test_nothing_is_active_without_the_rest(cluster: Cluster) -> None:
    cluster.deploy_coordinator(3, options=ALL_PROTOCOLS)
    cluster.blocked(TEMPO, scale={TEMPO: 3})
    cluster.deploy("tempo-worker-k8s", WORKER)
    cluster.blocked(WORKER)


def test_workers_and_a_bucket_make_it_active(cluster: Cluster) -> None:
    cluster.juju.integrate(f"{TEMPO}:tempo-cluster", f"{WORKER}:tempo-cluster")
    cluster.deploy_store()
    status = cluster.active(TEMPO, WORKER, STORE, scale={TEMPO: 3})
    assert application(status, TEMPO)["version"], "Tempo's version is shown"


def test_every_protocol_is_listed_by_every_unit(cluster: Cluster) -> None:
    host = f"{TEMPO}.{cluster.model}.svc.cluster.local"
    wanted = {
        protocol: f"{host}:{port}" if protocol.endswith("_grpc") else f"http://{host}:{port}" for protocol, port in PORTS.items()
    }
    assert cluster.receivers() == wanted
    for unit in units(cluster.status(), TEMPO):
        listed = cluster.action(unit, "list-receivers")
        assert {listed[protocol.replace("_", "-")] for protocol in PORTS} == set(wanted.values())


def test_a_trace_in_every_protocol_is_read_back(cluster: Cluster) -> None:
    cluster.deliver(PORTS)


def test_every_unit_takes_spans(cluster: Cluster) -> None:
    for address in cluster.addresses(TEMPO):
        cluster.deliver(PORTS, at=address)


def test_protocols_that_are_turned_off_are_refused_everywhere(cluster: Cluster) -> None:
    off = {option: False for option in ALL_PROTOCOLS}
    cluster.juju.config(TEMPO, off)
    status = cluster.active(TEMPO, WORKER, scale={TEMPO: 3})
    # The cluster's own traces need this one.
    assert set(cluster.receivers()) == {"otlp_http"}
    closed = set(PORTS.values()) - {PORTS["otlp_http"]}
    for app in (TEMPO, WORKER):
        for name, unit in units(status, app).items():
            assert not open_ports(unit) & closed, name
            for port in closed:
                assert not is_open(Endpoint(str(unit["address"]), port)), f"{name} still listens on {port}"
    cluster.deliver()


def test_the_plan_can_be_shown_and_has_no_secret(cluster: Cluster) -> None:
    results = cluster.action(leader(cluster.status(), TEMPO), "plan")
    assert "PRIVATE KEY" not in str(results)
