"""An authority signs certificates: everything is encrypted, and later it is not any more."""

from __future__ import annotations

import dataclasses

import pytest
from cluster import ALL_PROTOCOLS, CA, TEMPO, WORKER, Cluster
from helpers import PORTS, Refused, Trace, send, until

pytestmark = pytest.mark.cluster

UNITS = 3


def test_every_url_becomes_encrypted(cluster: Cluster) -> None:
    cluster.deploy_monolith(UNITS, ALL_PROTOCOLS)
    cluster.encrypt(waiting_for=(TEMPO, WORKER))
    published = cluster.receivers()
    assert set(published) == set(PORTS)
    assert all(url.startswith("https://") for protocol, url in published.items() if not protocol.endswith("_grpc"))


def test_a_trace_in_every_protocol_is_read_back_from_every_unit(cluster: Cluster) -> None:
    for unit in cluster.addresses(TEMPO):
        cluster.deliver(PORTS, at=unit)


@pytest.mark.parametrize("protocol", sorted(PORTS))
def test_plain_text_is_refused(cluster: Cluster, protocol: str) -> None:
    receiver = cluster.receiver(protocol, cluster.receivers()[protocol])
    with pytest.raises((OSError, Refused)):
        send(protocol, dataclasses.replace(receiver, secure=False), Trace.new("plain"))


def test_another_authority_interrupts_nothing(cluster: Cluster) -> None:
    before = cluster.ca
    # The authority makes itself a new certificate for another name, and signs everything anew with it.
    cluster.juju.config(CA, {"ca-common-name": "another.example"})

    def renewed() -> str | None:
        now = str(cluster.action(f"{CA}/0", "get-ca-certificate")["ca-certificate"])
        return None if now == before else now

    cluster.ca = until(renewed, "another certificate of the authority", 300, interval=5)
    cluster.active(TEMPO, WORKER, CA)
    cluster.deliver(PORTS)


def test_without_the_authority_everything_is_plain_again(cluster: Cluster) -> None:
    cluster.juju.remove_relation(f"{TEMPO}:certificates", f"{CA}:certificates")
    cluster.ca = None
    cluster.active(TEMPO, WORKER)
    cluster.deliver(PORTS)
