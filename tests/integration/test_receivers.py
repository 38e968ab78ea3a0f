"""What requirers ask for is what all are told of, until the last that wanted it leaves."""

from __future__ import annotations

import pathlib

import pytest
from cluster import TEMPO, WORKER, Cluster
from helpers import PORTS, Endpoint, is_open, open_ports, until, units

pytestmark = pytest.mark.cluster

WANTED = {"orders": ["otlp_grpc", "otlp_http"], "payments": ["zipkin"], "shipping": ["jaeger_thrift_http"]}


@pytest.fixture(scope="module", autouse=True)
def requirers(cluster: Cluster, requirer_charm: pathlib.Path) -> None:
    cluster.deploy_monolith()
    for app, protocols in WANTED.items():
        cluster.juju.deploy(requirer_charm, app, config={"protocols": ",".join(protocols)})
        cluster.juju.integrate(f"{TEMPO}:tracing", f"{app}:tracing")
    cluster.active(TEMPO, WORKER, *WANTED)


def told(cluster: Cluster, app: str, protocols: set[str]) -> dict[str, str]:
    """Waits until an application is told of exactly these protocols, and gives their URLs."""

    def received() -> dict[str, str] | None:
        urls = cluster.received(f"{app}/0")
        return urls if set(urls) == protocols else None

    return until(received, f"{app} is told of {', '.join(sorted(protocols))}", 300, interval=5)


def test_everybody_is_told_of_all_that_anybody_wants(cluster: Cluster) -> None:
    wanted = {protocol for protocols in WANTED.values() for protocol in protocols}
    urls = [told(cluster, app, wanted) for app in WANTED]
    assert all(each == urls[0] for each in urls)
    assert cluster.receivers() == urls[0]
    cluster.deliver(wanted)


def test_what_only_one_wanted_goes_with_it(cluster: Cluster) -> None:
    cluster.juju.remove_application("payments")
    cluster.gone("payments")
    rest = {"otlp_grpc", "otlp_http", "jaeger_thrift_http"}
    for app in ("orders", "shipping"):
        told(cluster, app, rest)
    status = cluster.active(TEMPO, WORKER)
    for name, unit in units(status, TEMPO).items():
        assert PORTS["zipkin"] not in open_ports(unit), name
        assert not is_open(Endpoint(str(unit["address"]), PORTS["zipkin"])), name
    cluster.deliver(rest)


def test_what_one_wants_later_is_there_then(cluster: Cluster) -> None:
    cluster.juju.config("orders", {"protocols": "jaeger_grpc"})
    wanted = {"jaeger_grpc", "jaeger_thrift_http", "otlp_http"}
    for app in ("orders", "shipping"):
        told(cluster, app, wanted)
    cluster.active(TEMPO, WORKER)
    cluster.deliver(wanted)
