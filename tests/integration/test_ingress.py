"""Behind Traefik: spans and questions go to its address."""

from __future__ import annotations

import pytest
from cluster import ALL_PROTOCOLS, TEMPO, WORKER, Cluster
from helpers import PORTS, QUERY_PORT, Endpoint, deliver, until

pytestmark = pytest.mark.cluster

INGRESS = "traefik"


@pytest.fixture(scope="module")
def outside(cluster: Cluster) -> str:
    """The address that Traefik has outside of the cluster, which it needs a load balancer for."""
    cluster.deploy_monolith(options=ALL_PROTOCOLS)
    inside = cluster.receivers()
    cluster.deploy("traefik-k8s", INGRESS)
    cluster.juju.integrate(f"{TEMPO}:ingress", f"{INGRESS}:traefik-route")
    cluster.active(TEMPO, WORKER, INGRESS)

    def moved() -> str | None:
        url = cluster.receivers()["otlp_http"]
        return None if url == inside["otlp_http"] else Endpoint.parse(url).host

    return until(moved, "URLs with the ingress' address", 300, interval=5)


def test_every_url_has_the_address_of_the_ingress(cluster: Cluster, outside: str) -> None:
    for protocol, url in cluster.receivers().items():
        where = Endpoint.parse(url)
        assert (where.host, where.port) == (outside, PORTS[protocol])


@pytest.mark.parametrize("protocol", sorted(PORTS))
def test_a_trace_goes_in_and_out_through_it(cluster: Cluster, outside: str, protocol: str) -> None:
    receiver = Endpoint.parse(cluster.receivers()[protocol])
    deliver(protocol, receiver, Endpoint(outside, QUERY_PORT))


def test_without_it_urls_are_those_of_the_service(cluster: Cluster, outside: str) -> None:
    cluster.juju.remove_relation(f"{TEMPO}:ingress", f"{INGRESS}:traefik-route")
    cluster.active(TEMPO, WORKER)
    hosts = {Endpoint.parse(url).host for url in cluster.receivers().values()}
    assert hosts == {f"{TEMPO}.{cluster.model}.svc.cluster.local"}
    cluster.deliver(PORTS)
