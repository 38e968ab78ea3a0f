"""Another retention reaches the Tempo that runs."""

from __future__ import annotations

import pytest
from cluster import TEMPO, WORKER, Cluster
from helpers import QUERY_PORT, Endpoint, request, until

pytestmark = pytest.mark.cluster


def test_the_running_tempo_has_the_new_retention(cluster: Cluster) -> None:
    cluster.deploy_monolith()
    cluster.juju.config(TEMPO, {"retention-period": 24})
    cluster.active(TEMPO, WORKER)
    where = Endpoint(cluster.addresses(WORKER)[0], QUERY_PORT)

    def applied() -> bool:
        _, page = request(where, "/status/config")
        return b"block_retention: 24h0m0s" in page

    assert until(applied, "the new retention in Tempo", 300, interval=5)
    cluster.deliver()


def test_one_that_makes_no_sense_blocks_and_changes_nothing(cluster: Cluster) -> None:
    cluster.juju.config(TEMPO, {"retention-period": 0})
    cluster.blocked(TEMPO)
    cluster.deliver(["otlp_http"])
    cluster.juju.config(TEMPO, reset="retention-period")
    cluster.active(TEMPO, WORKER)
